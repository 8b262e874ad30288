#include "services/fhe-proxy/keys/parameter_sets.h"

#include <cmath>

#include <absl/base/internal/raw_logging.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/params/security.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe_proxy {
namespace {

// The automorphisms X -> X^(N/2^j + 1), j = 0 … levels-1, by which one ciphertext unfolds into 2^levels.
std::vector<uint32_t> ExpansionElements(uint32_t degree, int levels) {
  std::vector<uint32_t> out;
  for (int j = 0; j < levels; ++j) out.push_back((degree >> j) + 1);
  return out;
}

ParameterSet Make(std::string name, std::vector<int> bits, uint64_t plain_modulus, std::string purpose) {
  ParameterSet set;
  set.name = std::move(name);
  set.parameters = {fhe::Scheme::kBfv, 4096, fhe::CreatePrimes(4096, bits).value(), plain_modulus};
  const absl::Status status = fhe::Validate(set.parameters);
  ABSL_RAW_CHECK(status.ok(), "an offered parameter set must be valid");
  const int total = set.parameters.TotalBits();
  switch (fhe::StrongestClassical(4096, total)) {
    case fhe::SecurityLevel::kClassical256: set.security_bits = 256; break;
    case fhe::SecurityLevel::kClassical192: set.security_bits = 192; break;
    default: set.security_bits = 128; break;
  }
  set.quantum_128 = total <= fhe::MaxModulusBits(fhe::SecurityLevel::kQuantum128, 4096);
  set.galois_elements = ExpansionElements(4096, 9);
  set.max_dimensions = 512;
  // A little less than sqrt(t / 2): rounding makes quantised vectors longer.
  set.max_row_scale = std::floor(0.985 * std::sqrt(static_cast<double>(plain_modulus) / 2));
  set.context = fhe::Context::Create(set.parameters).value();
  set.purpose = std::move(purpose);
  return set;
}

}  // namespace

absl::StatusOr<fhe::Layout> ParameterSet::LayoutFor(uint32_t dimension, uint64_t rows) const {
  return fhe::Layout::ForRows(parameters.degree, dimension, rows, 1, static_cast<int>(galois_elements.size()));
}

size_t ParameterSet::KeyBytes() const { return fhe::GaloisKeysBytes(parameters, galois_elements.size(), true); }
size_t ParameterSet::QueryBytes() const {
  return fhe::CiphertextBytes(parameters.degree, parameters.DataPrimes(), 2, true);
}
size_t ParameterSet::ReplyBytes() const {
  return fhe::CiphertextBytes(parameters.degree, parameters.DataPrimes(), 2, false);
}

absl::Span<const ParameterSet> OfferedSets() {
  static const auto* const sets = new std::vector<ParameterSet>{
      Make("s50", {50, 59}, 417793,
           "Search over whole collections of vectors of up to 512 dimensions: exact scores of vectors quantised to "
           "integers, one 30 kB query, one reply for every 4,096 rows."),
      Make(
          "q50", {50, 50}, 65537,
          "The same search within the bound for 128 bits against quantum attacks, and faster; scores are coarser: unit "
          "vectors are quantised with a scale of at most 178 instead of 450."),
      Make("q50-fine", {50, 50}, 417793,
           "Searches as fine as s50's, as fast as q50's and within the bound against quantum attacks; its noise leaves "
           "room to look up documents of small collections only."),
  };
  return *sets;
}

absl::StatusOr<const ParameterSet*> FindSet(absl::string_view name) {
  for (const ParameterSet& set : OfferedSets()) {
    if (set.name == name) return &set;
  }
  return absl::NotFoundError(
      absl::StrCat("no parameter set is called \"", name,
                   "\"; offered: ", absl::StrJoin(OfferedSets(), ", ", [](std::string* out, const ParameterSet& set) {
                     absl::StrAppend(out, set.name);
                   })));
}

}  // namespace alcove::fhe_proxy
