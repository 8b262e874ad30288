#include "libs/store/internal/log_chunk.h"

#include "absl/strings/str_cat.h"
#include "libs/common/hash.h"

namespace alcove::store::internal {
namespace {

constexpr char kVersion = 1;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kSmallestRecordBytes = 4;  // kind, key size, a key of one byte, data size

void AppendChecksum(std::string* bytes) {
  uint64_t sum = Hash64(*bytes);
  for (size_t i = 0; i < kChecksumBytes; ++i, sum >>= 8) bytes->push_back(static_cast<char>(sum));
}

uint64_t ReadLittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

bool TakeBytes(absl::string_view* in, size_t max, absl::string_view* out) {
  uint64_t size = 0;
  if (!TakeVarint(in, &size) || size > max || size > in->size()) return false;
  *out = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

}  // namespace

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

bool TakeVarint(absl::string_view* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in->empty()) return false;
    const auto byte = static_cast<unsigned char>(in->front());
    in->remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

std::vector<Chunk> EncodeChunks(absl::Span<const LogRecord> records) {
  std::vector<Chunk> chunks;
  size_t begin = 0;
  while (begin < records.size()) {
    size_t end = begin;
    size_t bytes = 0;
    do {
      bytes += records[end].key.size() + records[end].data.size() + 16;
      ++end;
    } while (end < records.size() && bytes < kChunkBytes);
    Chunk& chunk = chunks.emplace_back();
    chunk.count = static_cast<int64_t>(end - begin);
    chunk.bytes.reserve(bytes + 32);
    chunk.bytes.push_back(kVersion);
    AppendVarint(chunk.count, &chunk.bytes);
    for (; begin < end; ++begin) {
      const LogRecord& record = records[begin];
      chunk.bytes.push_back(static_cast<char>(record.kind));
      AppendVarint(record.key.size(), &chunk.bytes);
      chunk.bytes.append(record.key.data(), record.key.size());
      AppendVarint(record.data.size(), &chunk.bytes);
      chunk.bytes.append(record.data.data(), record.data.size());
    }
    AppendChecksum(&chunk.bytes);
  }
  return chunks;
}

absl::StatusOr<std::vector<LogRecord>> DecodeChunk(absl::string_view bytes) {
  if (bytes.size() < 2 + kChecksumBytes) return absl::DataLossError("chunk is cut short");
  const absl::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (body[0] != kVersion) {
    return absl::DataLossError(absl::StrCat("chunk has version ", static_cast<int>(body[0]), ", expected 1"));
  }
  if (Hash64(body) != ReadLittleEndian(bytes.substr(body.size()))) {
    return absl::DataLossError("chunk checksum does not match");
  }
  absl::string_view in = body.substr(1);
  uint64_t count = 0;
  if (!TakeVarint(&in, &count) || count == 0 || count > in.size() / kSmallestRecordBytes) {
    return absl::DataLossError("chunk record count is out of bounds");
  }
  std::vector<LogRecord> records;
  records.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    LogRecord record;
    if (in.empty()) return absl::DataLossError(absl::StrCat("chunk ends before record ", i, " of ", count));
    const int kind = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    if (kind < 1 || kind > 3) return absl::DataLossError(absl::StrCat("record ", i, " has unknown kind ", kind));
    record.kind = static_cast<RecordKind>(kind);
    if (!TakeBytes(&in, kMaxKeyBytes, &record.key) || record.key.empty() ||
        !TakeBytes(&in, kMaxDataBytes, &record.data)) {
      return absl::DataLossError(absl::StrCat("record ", i, " of ", count, " does not fit its chunk"));
    }
    records.push_back(record);
  }
  if (!in.empty()) return absl::DataLossError(absl::StrCat(in.size(), " bytes after the last record of a chunk"));
  return records;
}

int64_t RecordChecksum(const LogRecord& record) {
  return static_cast<int64_t>(Hash64(record.data, Hash64(record.key, static_cast<uint64_t>(record.kind))));
}

}  // namespace alcove::store::internal
