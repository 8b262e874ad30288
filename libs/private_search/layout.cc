#include "libs/private_search/layout.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

namespace alcove::private_search {
namespace {

constexpr uint32_t kMaxDimension = 2048;

uint32_t DoublingsFor(uint32_t count) { return count <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(count - 1)); }

}  // namespace

Layout::Layout(uint32_t degree, uint32_t dimension, uint32_t doublings, uint32_t chunk)
    : degree_(degree), dimension_(dimension), doublings_(doublings), chunk_(chunk) {
  const uint32_t capacity = chunk * stride();
  for (uint32_t first = 0; first < dimension; first += capacity) {
    QueryPart part;
    part.first = first;
    part.numbers = std::min(capacity, dimension - first);
    part.selectors = std::min(stride(), part.numbers);
    part.doublings = DoublingsFor(part.selectors);
    selectors_ += part.selectors;
    parts_.push_back(part);
  }
}

absl::StatusOr<Layout> Layout::Make(uint32_t degree, uint32_t dimension, uint32_t doublings, uint32_t chunk) {
  const bool fits = degree >= 1 && degree <= (uint32_t{1} << 20) && std::has_single_bit(degree) && dimension >= 1 &&
                    dimension <= kMaxDimension && doublings < 20 && chunk >= 1 && std::has_single_bit(chunk) &&
                    (uint64_t{chunk} << doublings) <= degree;
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat("no layout for degree ", degree, ", dimension ", dimension, ", ",
                                                   doublings, " doublings and chunk ", chunk));
  }
  return Layout(degree, dimension, doublings, chunk);
}

absl::StatusOr<Layout> Layout::Choose(uint32_t degree, uint32_t dimension, uint32_t max_doublings, uint64_t rows) {
  uint32_t doublings = std::min(max_doublings, DoublingsFor(dimension));
  uint32_t chunk = 1;
  while (doublings > 0 && rows * chunk * 2 <= degree) {
    chunk *= 2;
    --doublings;
  }
  return Make(degree, dimension, doublings, chunk);
}

std::vector<int8_t> Layout::Spread(absl::Span<const int8_t> values, uint32_t rows) const {
  std::vector<int8_t> out(size_t{degree_} * selectors_);
  for (uint32_t r = 0; r < rows; ++r) {
    const int8_t* row = values.data() + size_t{r} * dimension_;
    const uint32_t position = Position(r);
    size_t selector = 0;
    for (const QueryPart& part : parts_) {
      for (uint32_t j = 0; j < part.numbers; ++j) {
        const uint32_t at = position - (j / stride()) * stride();
        out[size_t{at} * selectors_ + selector + j % stride()] = row[part.first + j];
      }
      selector += part.selectors;
    }
  }
  return out;
}

}  // namespace alcove::private_search
