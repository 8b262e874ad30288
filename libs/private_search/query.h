// Plaintext sides of a private search: numbers into the coefficients a client encrypts, decrypted coefficients back
// into scores. No secrets in here; encryption is the caller's.
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/params/modulus.h"
#include "libs/private_search/layout.h"

namespace alcove::private_search {

// One vector of coefficients in [0, t) for each part of the layout. `query` has layout.dimension() numbers, each of
// magnitude below t/2; t is odd.
absl::StatusOr<std::vector<std::vector<uint64_t>>> PackQuery(const Layout& layout, const fhe::Modulus& t,
                                                             absl::Span<const int32_t> query);

// Scores of the first `rows` rows of a block from its decrypted coefficients (degree of them, in [0, t)), centred.
// rows <= layout.rows_per_block().
std::vector<int64_t> UnpackScores(const Layout& layout, uint64_t t, absl::Span<const uint64_t> coefficients,
                                  uint32_t rows);

// How a vector becomes integers.
struct Quantised {
  std::vector<int32_t> numbers;
  double norm = 0;  // Euclidean, of the integers
};
// round(scale * v / |v|) when `normalise`, else round(scale * v). INVALID_ARGUMENT for numbers that are not finite, and
// for a zero vector that is to be normalised.
absl::StatusOr<Quantised> QuantiseQuery(absl::Span<const float> v, double scale, bool normalise);

}  // namespace alcove::private_search
