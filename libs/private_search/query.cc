#include "libs/private_search/query.h"

#include <cmath>

#include <absl/strings/str_cat.h>

namespace alcove::private_search {

absl::StatusOr<std::vector<std::vector<uint64_t>>> PackQuery(const Layout& layout, const fhe::Modulus& t,
                                                             absl::Span<const int32_t> query) {
  if (query.size() != layout.dimension()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a query of ", query.size(), " numbers; the collection has ", layout.dimension()));
  }
  if (t.value() % 2 == 0) return absl::InvalidArgumentError("the plain modulus must be odd");
  const auto limit = static_cast<int64_t>(t.value() / 2);
  std::vector<std::vector<uint64_t>> out;
  for (const QueryPart& part : layout.parts()) {
    // (t + 1) / 2 is the inverse of two: the expansion's doublings undo it.
    const uint64_t factor = t.Pow((t.value() + 1) / 2, part.doublings);
    std::vector<uint64_t>& coefficients = out.emplace_back();
    for (uint32_t j = 0; j < part.numbers; ++j) {
      const int64_t v = query[part.first + j];
      if (v > limit || v < -limit) {
        return absl::InvalidArgumentError(absl::StrCat("number ", part.first + j, " of the query exceeds t/2"));
      }
      coefficients.push_back(t.Mul(t.FromSigned(v), factor));
    }
  }
  return out;
}

std::vector<int64_t> UnpackScores(const Layout& layout, uint64_t t, absl::Span<const uint64_t> coefficients,
                                  uint32_t rows) {
  const auto modulus = static_cast<int64_t>(t);
  std::vector<int64_t> out;
  out.reserve(rows);
  for (uint32_t r = 0; r < rows; ++r) {
    const auto v = static_cast<int64_t>(coefficients[layout.Position(r)]);
    out.push_back(v - (modulus & -static_cast<int64_t>(v > modulus / 2)));
  }
  return out;
}

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
