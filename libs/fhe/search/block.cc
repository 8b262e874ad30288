#include "libs/fhe/search/block.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "libs/fhe/bfv/encoder.h"
#include "libs/fhe/fault.h"

namespace alcove::fhe {

absl::StatusOr<Block> Block::Encode(const Context& context, absl::Span<const int8_t> values, size_t rows,
                                    size_t dimensions) {
  if (context.data_rows() != 1 || context.modulus(0).bits() > 50) {
    return FaultError(Fault::kPrimeOutOfRange, "scoring needs exactly one data prime, below 2^50");
  }
  if (rows < 1 || rows > context.degree() || dimensions < 1 || dimensions > kMaxMacDimensions ||
      values.size() != rows * dimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat("a block of ", rows, " rows and ", dimensions, " dimensions with ", values.size(), " numbers"));
  }
  Block out;
  out.rows_ = rows;
  out.dimensions_ = dimensions;
  out.words_.resize(context.degree() * dimensions);
  std::vector<int8_t> column(rows);
  for (size_t d = 0; d < dimensions; ++d) {
    for (size_t r = 0; r < rows; ++r) column[r] = values[r * dimensions + d];
    const EvalPoly poly = LiftSigned(context, column);
    for (size_t tile = 0; tile < context.degree() / kTile; ++tile) {
      std::copy_n(poly.Row(0) + tile * kTile, kTile, out.words_.data() + (tile * dimensions + d) * kTile);
    }
  }
  return out;
}

}  // namespace alcove::fhe
