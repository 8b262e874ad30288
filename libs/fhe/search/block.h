// A collection as the scoring loop wants it: blocks of up to N rows; dimension d of a block is the plaintext polynomial
// whose coefficient r is row r's d-th number, stored as transform values, tile by tile.
#pragma once

#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/search/mac.h"

namespace alcove::fhe {

// One block: 8 bytes per dimension and position, 12.6 MB for 384 dimensions at N = 4096. Immutable, thread safe.
class Block {
 public:
  // rows * dimensions numbers, row by row; 1 <= rows <= N, 1 <= dimensions <= kMaxMacDimensions. The context must have
  // one data prime below 2^50 (kPrimeOutOfRange otherwise). Cost: one transform a dimension.
  static absl::StatusOr<Block> Encode(const Context& context, absl::Span<const int8_t> values, size_t rows,
                                      size_t dimensions);

  size_t rows() const { return rows_; }
  size_t dimensions() const { return dimensions_; }
  size_t MemoryBytes() const { return words_.size() * sizeof(uint64_t); }
  // kTile positions of every dimension.
  const uint64_t* Tile(size_t tile) const { return words_.data() + tile * dimensions_ * kTile; }

 private:
  size_t rows_ = 0;
  size_t dimensions_ = 0;
  Words words_;
};

}  // namespace alcove::fhe
