#include "services/cache/tiers/entry.h"

#include <cstring>

#include <absl/strings/str_cat.h>

#include "libs/common/hash.h"

namespace alcove::cache {
namespace {

constexpr char kMagic[4] = {'A', 'C', 'E', '1'};
constexpr size_t kHeader = 4 + 8 + 8 + 8 + 1;  // magic, checksum, born, expires, number of tags
constexpr size_t kMaxTags = 16;
constexpr size_t kMaxTagBytes = 1024;

void Append64(std::string& out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i));
}

uint64_t Read64(const char* at) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(at[i]);
  return value;
}

}  // namespace

size_t CachedValue::MemoryBytes() const {
  size_t bytes = value == nullptr ? 0 : value->size();
  for (const std::string& tag : tags) bytes += tag.size() + sizeof(std::string);
  return bytes;
}

std::string EntryKey(absl::string_view tenant, absl::string_view name_space, absl::string_view key) {
  return absl::StrCat("ace:", tenant, absl::string_view("\0", 1), name_space, absl::string_view("\0", 1), key);
}

std::string TagName(absl::string_view tenant, absl::string_view tag) {
  return absl::StrCat("act:", tenant, absl::string_view("\0", 1), tag);
}

std::string EncodeEntry(const CachedValue& entry) {
  std::string out(kMagic, sizeof(kMagic));
  Append64(out, 0);
  Append64(out, static_cast<uint64_t>(absl::ToUnixMicros(entry.born)));
  Append64(out, static_cast<uint64_t>(absl::ToUnixMicros(entry.expires)));
  out += static_cast<char>(entry.tags.size());
  for (const std::string& tag : entry.tags) {
    out += static_cast<char>(tag.size() & 0xFF);
    out += static_cast<char>(tag.size() >> 8);
    out += tag;
  }
  out += *entry.value;
  const uint64_t checksum = Hash64(absl::string_view(out).substr(12));
  for (int i = 0; i < 8; ++i) out[4 + i] = static_cast<char>(checksum >> (8 * i));
  return out;
}

absl::StatusOr<CachedValue> DecodeEntry(absl::string_view bytes) {
  if (bytes.size() < kHeader || std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("no cache entry of this version");
  }
  if (Read64(bytes.data() + 4) != Hash64(bytes.substr(12))) {
    return absl::DataLossError("the checksum of a cache entry does not match");
  }
  CachedValue entry;
  entry.born = absl::FromUnixMicros(static_cast<int64_t>(Read64(bytes.data() + 12)));
  entry.expires = absl::FromUnixMicros(static_cast<int64_t>(Read64(bytes.data() + 20)));
  const size_t tags = static_cast<unsigned char>(bytes[28]);
  if (tags > kMaxTags) return absl::DataLossError(absl::StrCat("a cache entry has ", tags, " tags"));
  bytes.remove_prefix(kHeader);
  for (size_t i = 0; i < tags; ++i) {
    if (bytes.size() < 2) return absl::DataLossError("a cache entry ends inside its tags");
    const size_t size = static_cast<unsigned char>(bytes[0]) | static_cast<size_t>(static_cast<unsigned char>(bytes[1]))
                                                                   << 8;
    bytes.remove_prefix(2);
    if (size > kMaxTagBytes || size > bytes.size()) return absl::DataLossError("a cache entry ends inside its tags");
    entry.tags.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  entry.value = std::make_shared<const std::string>(bytes);
  return entry;
}

}  // namespace alcove::cache
