#include "libs/fhe/search/layout.h"

#include <algorithm>
#include <bit>

#include <absl/strings/str_cat.h>

#include "libs/fhe/search/expand.h"

namespace alcove::fhe {

absl::StatusOr<Layout> Layout::Create(size_t degree, size_t dimensions, int levels) {
  if (!std::has_single_bit(degree) || dimensions < 1 || dimensions > degree || levels < 0 ||
      levels > ExpansionLevels(dimensions)) {
    return absl::InvalidArgumentError(
        absl::StrCat("no layout of ", dimensions, " dimensions and ", levels, " doublings at degree ", degree));
  }
  Layout out;
  out.degree_ = degree;
  out.dimensions_ = dimensions;
  out.levels_ = levels;
  const size_t width = size_t{1} << levels;
  out.fold_ = (dimensions + width - 1) / width;
  out.polynomials_ = std::min(width, dimensions);
  out.rows_per_block_ = width * (degree / width / out.fold_);
  return out;
}

absl::StatusOr<Layout> Layout::Full(size_t degree, size_t dimensions) {
  return Create(degree, dimensions, dimensions == 0 ? 0 : ExpansionLevels(dimensions));
}

absl::StatusOr<Layout> Layout::ForRows(size_t degree, size_t dimensions, size_t rows, size_t max_blocks) {
  auto best = Full(degree, dimensions);
  if (!best.ok()) return best;
  // In units of one pass over a polynomial: a key switch is about five transforms of twelve levels, a plaintext two
  // products, a reply two transforms.
  const auto cost = [&](const Layout& l) {
    const double blocks = static_cast<double>(l.Blocks(std::max<size_t>(rows, 1)));
    return 60.0 * static_cast<double>(size_t{1} << l.levels()) +
           blocks * (2.0 * static_cast<double>(l.polynomials()) + 24);
  };
  const size_t allowed = std::max(max_blocks, best->Blocks(rows));
  for (int levels = best->levels() - 1; levels >= 0; --levels) {
    const auto candidate = Create(degree, dimensions, levels);
    if (!candidate.ok() || candidate->rows_per_block() == 0 || candidate->Blocks(rows) > allowed) break;
    if (cost(*candidate) < cost(*best)) best = candidate;
  }
  return best;
}

}  // namespace alcove::fhe
