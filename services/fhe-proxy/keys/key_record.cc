#include "services/fhe-proxy/keys/key_record.h"

#include <cstring>

#include <absl/strings/str_cat.h>

#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe_proxy {
namespace {

constexpr absl::string_view kMagic = "ALCKEY1\n";
constexpr size_t kDigestBytes = 64;  // hexadecimal

template <class T>
void PutInteger(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void PutText(std::string& out, const std::string& text) {
  PutInteger(out, static_cast<uint32_t>(text.size()));
  out += text;
}

template <class T>
bool TakeInteger(absl::string_view& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return true;
}

bool TakeText(absl::string_view& in, std::string& text) {
  uint32_t size = 0;
  if (!TakeInteger(in, size) || in.size() < size) return false;
  text.assign(in.data(), size);
  in.remove_prefix(size);
  return true;
}

}  // namespace

std::string EncodeKeyRecord(const KeyRecord& record) {
  std::string out(kMagic);
  PutText(out, record.tenant);
  PutText(out, record.key_id);
  PutText(out, record.parameter_set);
  PutText(out, record.seal_parameters);
  PutText(out, record.label);
  PutInteger(out, absl::ToUnixNanos(record.created_at));
  PutInteger(out, record.version.major);
  PutInteger(out, record.version.minor);
  PutInteger(out, static_cast<uint32_t>(record.galois_elements.size()));
  for (uint32_t element : record.galois_elements) PutInteger(out, element);
  PutText(out, record.galois_keys);
  PutText(out, record.relin_keys);
  out += fhe::Blake2bHex(out);
  return out;
}

absl::StatusOr<KeyRecord> DecodeKeyRecord(absl::string_view bytes) {
  if (bytes.size() < kMagic.size() + kDigestBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::DataLossError("not a key record");
  }
  const absl::string_view content = bytes.substr(0, bytes.size() - kDigestBytes);
  if (bytes.substr(content.size()) != fhe::Blake2bHex(content)) {
    return absl::DataLossError("the key record's checksum does not match");
  }
  absl::string_view in = content.substr(kMagic.size());
  KeyRecord record;
  int64_t created = 0;
  uint32_t elements = 0;
  bool whole = TakeText(in, record.tenant) && TakeText(in, record.key_id) && TakeText(in, record.parameter_set) &&
               TakeText(in, record.seal_parameters) && TakeText(in, record.label) && TakeInteger(in, created) &&
               TakeInteger(in, record.version.major) && TakeInteger(in, record.version.minor) &&
               TakeInteger(in, elements) && elements <= in.size() / sizeof(uint32_t);
  for (uint32_t i = 0; whole && i < elements; ++i) {
    uint32_t element = 0;
    whole = TakeInteger(in, element);
    record.galois_elements.push_back(element);
  }
  whole = whole && TakeText(in, record.galois_keys) && TakeText(in, record.relin_keys) && in.empty();
  if (!whole) return absl::DataLossError("the key record's fields do not fit its size");
  record.created_at = absl::FromUnixNanos(created);
  return record;
}

}  // namespace alcove::fhe_proxy
