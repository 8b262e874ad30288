#include "libs/private_search/query.h"

#include <cmath>

namespace alcove::private_search {

absl::StatusOr<Quantised> QuantiseQuery(absl::Span<const float> v, double scale, bool normalise) {
  double energy = 0;
  for (float x : v) energy += static_cast<double>(x) * static_cast<double>(x);
  if (!std::isfinite(energy)) return absl::InvalidArgumentError("the query has numbers that are not finite");
  if (normalise) {
    if (energy == 0) return absl::InvalidArgumentError("the query is the zero vector, which has no direction");
    scale /= std::sqrt(energy);
  }
  Quantised out;
  double norm = 0;
  for (float x : v) {
    const double scaled = std::round(static_cast<double>(x) * scale);
    if (std::abs(scaled) > 1e9) return absl::InvalidArgumentError("the query's numbers are too large");
    out.numbers.push_back(static_cast<int32_t>(scaled));
    norm += scaled * scaled;
  }
  out.norm = std::sqrt(norm);
  return out;
}

}  // namespace alcove::private_search
