#include "services/fhe-proxy/convert.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>

#include "libs/common/status.h"
#include "libs/fhe/fault.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe_proxy {
namespace {

google::protobuf::Timestamp Timestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

}  // namespace

void ToProto(const ParameterSet& set, size_t max_key_bytes, private_search::v1::ParameterSet* out) {
  const fhe::EncryptionParameters& p = set.parameters;
  out->set_name(set.name);
  out->set_scheme("bfv");
  out->set_poly_modulus_degree(static_cast<uint32_t>(p.degree));
  for (uint64_t prime : p.primes) out->add_coeff_modulus(prime);
  out->set_plain_modulus(p.plain_modulus);
  out->set_security_bits(static_cast<uint32_t>(set.security_bits));
  // Stamped 3.6, which every SEAL from 3.6 to 4.4 loads.
  out->set_seal_parameters(fhe::WriteParameters(p, {{3, 6}, fhe::Compression::kNone}));
  const fhe::ParmsId id = p.KeyId();
  out->set_parms_id(id.data(), id.size());
  for (uint32_t element : set.galois_elements) out->add_galois_elements(element);
  out->set_max_key_bytes(static_cast<int64_t>(max_key_bytes));
  out->set_purpose(set.purpose);
  out->set_quantum_128(set.quantum_128);
  out->set_total_modulus_bits(static_cast<uint32_t>(p.TotalBits()));
  out->set_max_dimensions(set.max_dimensions);
  out->set_key_bytes(static_cast<int64_t>(set.KeyBytes()));
  out->set_query_bytes(static_cast<int64_t>(set.QueryBytes()));
  out->set_reply_bytes(static_cast<int64_t>(set.ReplyBytes()));
}

void ToProto(const KeyInfo& info, private_search::v1::EvaluationKeys* out) {
  out->set_key_id(info.key_id);
  out->set_parameter_set(info.parameter_set);
  out->set_seal_version(VersionText(info.version));
  out->set_stored_bytes(static_cast<int64_t>(info.stored_bytes));
  *out->mutable_created_at() = Timestamp(info.created_at);
  *out->mutable_last_used_at() = Timestamp(info.last_used_at);
  for (uint32_t element : info.galois_elements) out->add_galois_elements(element);
  out->set_has_relin_keys(info.has_relin_keys);
  out->set_label(info.label);
}

std::string VersionText(fhe::SealVersion version) { return absl::StrCat(version.major, ".", version.minor); }

absl::Status WithFaultReason(absl::Status status) {
  const auto fault = fhe::FaultOf(status);
  if (!fault) return status;
  return WithReason(std::move(status), absl::StrCat("FHE_", absl::AsciiStrToUpper(fhe::FaultName(*fault))));
}

}  // namespace alcove::fhe_proxy
