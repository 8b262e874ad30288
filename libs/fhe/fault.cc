#include "libs/fhe/fault.h"

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace alcove::fhe {
namespace {

constexpr absl::string_view kPayloadUrl = "type.alcove.dev/fhe.Fault";

constexpr absl::string_view kNames[] = {
    "truncated",
    "trailing_bytes",
    "bad_magic",
    "bad_header",
    "unsupported_version",
    "mixed_versions",
    "unsupported_compression",
    "bad_compressed_data",
    "too_large",
    "size_mismatch",
    "unknown_scheme",
    "degree_out_of_range",
    "prime_count_out_of_range",
    "prime_out_of_range",
    "prime_not_prime",
    "prime_not_ntt_friendly",
    "prime_repeated",
    "insecure",
    "plain_modulus_out_of_range",
    "plain_modulus_not_coprime",
    "plain_modulus_too_large",
    "parameters_not_offered",
    "parms_id_mismatch",
    "wrong_level",
    "wrong_form",
    "wrong_polynomial_count",
    "wrong_degree",
    "wrong_prime_count",
    "bad_scale",
    "bad_correction_factor",
    "count_mismatch",
    "residue_out_of_range",
    "transparent",
    "unknown_generator",
    "seed_not_allowed",
    "bad_key_count",
    "no_keys",
    "missing_key",
};
constexpr int kFaults = static_cast<int>(Fault::kMissingKey) + 1;
static_assert(std::size(kNames) == kFaults, "every fault has a name");

}  // namespace

absl::string_view FaultName(Fault fault) { return kNames[static_cast<int>(fault)]; }

absl::Status FaultError(Fault fault, absl::string_view detail) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(FaultName(fault), ": ", detail));
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(static_cast<int>(fault))));
  return status;
}

std::optional<Fault> FaultOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  int number = -1;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &number) || number < 0 || number >= kFaults) {
    return std::nullopt;
  }
  return static_cast<Fault>(number);
}

absl::Status Within(absl::string_view where, const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status out(status.code(), absl::StrCat(where, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace alcove::fhe
