#include "services/fhe-proxy/keys/key_record.h"

#include "libs/common/status.h"
#include "services/fhe-proxy/record/record.h"

namespace alcove::fhe_proxy {
namespace {

constexpr absl::string_view kMagic = "ALCKEY1\n";

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
  SealRecord(out);
  return out;
}

absl::StatusOr<KeyRecord> DecodeKeyRecord(absl::string_view bytes) {
  ALCOVE_ASSIGN_OR_RETURN(absl::string_view in, OpenRecord(bytes, kMagic, "key record"));
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
  if (!whole) return UnfitFields("key record");
  record.created_at = absl::FromUnixNanos(created);
  return record;
}

}  // namespace alcove::fhe_proxy
