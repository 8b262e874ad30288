// A vector as the integers a client encrypts. Where they stand in a query, and where scores stand in replies, is
// libs/fhe/search/layout.h's; encryption is the caller's.
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace alcove::private_search {

// How a vector becomes integers.
struct Quantised {
  std::vector<int32_t> numbers;
  double norm = 0;  // Euclidean, of the integers
};
// round(scale * v / |v|) when `normalise`, else round(scale * v). INVALID_ARGUMENT for numbers that are not finite, and
// for a zero vector that is to be normalised.
absl::StatusOr<Quantised> QuantiseQuery(absl::Span<const float> v, double scale, bool normalise);

}  // namespace alcove::private_search
