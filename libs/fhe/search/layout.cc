#include "libs/fhe/search/layout.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/search/expand.h"

namespace alcove::fhe {
namespace {

size_t CeilShift(size_t value, int levels) { return (value + (size_t{1} << levels) - 1) >> levels; }

}  // namespace

absl::StatusOr<Layout> Layout::Create(size_t degree, size_t dimensions, int levels) {
  const bool usable = dimensions >= 1 && dimensions <= degree && levels >= 0 && levels <= ExpansionLevels(dimensions);
  return Create(degree, dimensions, levels, usable ? CeilShift(dimensions, levels) : 0);
}

absl::StatusOr<Layout> Layout::Create(size_t degree, size_t dimensions, int levels, size_t fold) {
  if (!std::has_single_bit(degree) || dimensions < 1 || dimensions > degree || levels < 0 ||
      levels > ExpansionLevels(dimensions) || fold < 1 || fold > CeilShift(dimensions, levels) ||
      fold > degree >> levels) {
    return absl::InvalidArgumentError(absl::StrCat("no layout of ", dimensions, " dimensions, ", levels,
                                                   " doublings and fold ", fold, " at degree ", degree));
  }
  Layout out;
  out.degree_ = degree;
  out.dimensions_ = dimensions;
  out.levels_ = levels;
  out.fold_ = fold;
  out.rows_per_block_ = out.width() * ((degree >> levels) / fold);
  for (size_t first = 0; first < dimensions; first += fold << levels) {
    QueryPart part;
    part.first = first;
    part.numbers = std::min(fold << levels, dimensions - first);
    part.polynomials = std::min(out.width(), part.numbers);
    part.levels = ExpansionLevels(part.polynomials);
    out.polynomials_ += part.polynomials;
    out.parts_.push_back(part);
  }
  return out;
}

absl::StatusOr<Layout> Layout::Full(size_t degree, size_t dimensions) {
  return Create(degree, dimensions, dimensions == 0 ? 0 : ExpansionLevels(dimensions));
}

absl::StatusOr<Layout> Layout::ForRows(size_t degree, size_t dimensions, size_t rows, size_t max_blocks,
                                       int max_levels) {
  const int top = std::min(max_levels, ExpansionLevels(dimensions));
  const auto at = [&](int levels) {
    const size_t most = size_t{1} << (top - levels);
    return Create(degree, dimensions, levels, std::min(most, CeilShift(dimensions, levels)));
  };
  if (max_levels < 0) return absl::InvalidArgumentError("a layout of fewer than no doublings");
  auto best = at(top);
  if (!best.ok()) return best;
  // In units of one pass over a polynomial: a key switch is about five transforms of twelve levels, a plaintext two
  // products, a reply two transforms.
  const auto cost = [&](const Layout& l) {
    const double blocks = static_cast<double>(l.Blocks(std::max<size_t>(rows, 1)));
    double switches = 0;
    for (const QueryPart& part : l.parts()) switches += static_cast<double>(size_t{1} << part.levels);
    return 60.0 * switches + blocks * (2.0 * static_cast<double>(l.polynomials()) + 24);
  };
  const size_t allowed = std::max(max_blocks, best->Blocks(rows));
  for (int levels = top - 1; levels >= 0; --levels) {
    const auto candidate = at(levels);
    if (!candidate.ok() || candidate->Blocks(rows) > allowed) break;
    if (cost(*candidate) < cost(*best)) best = candidate;
  }
  return best;
}

}  // namespace alcove::fhe
