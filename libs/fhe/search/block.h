// A part of a collection as the scoring loop wants it: for each expanded query ciphertext one plaintext polynomial
// (search/layout.h says which number goes where), stored as transform values, tile by tile.
#pragma once

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/search/large_words.h"
#include "libs/fhe/search/layout.h"
#include "libs/fhe/search/mac.h"
#include "libs/fhe/search/signs.h"

namespace alcove::fhe {

// One block: 8 N bytes a polynomial, 12.6 MB for 384 dimensions at N = 4096. Immutable, thread safe.
class Block {
 public:
  // rows * layout.dimensions() numbers, row by row; 1 <= rows <= layout.rows_per_block(), layout.polynomials() <=
  // kMaxMacTerms. The context must have one data prime below 2^50 (kPrimeOutOfRange otherwise). Cost: one transform a
  // polynomial.
  static absl::StatusOr<Block> Encode(const Context& context, const Layout& layout, absl::Span<const int8_t> values,
                                      size_t rows, const SignPattern& signs = {});

  // The full layout: coefficient r of plaintext d is values[r * dimensions + d], signs aside.
  static absl::StatusOr<Block> Encode(const Context& context, absl::Span<const int8_t> values, size_t rows,
                                      size_t dimensions, const SignPattern& signs = {});

  const Layout& layout() const { return layout_; }
  size_t dimensions() const { return layout_.dimensions(); }
  size_t rows() const { return rows_; }
  size_t MemoryBytes() const { return layout_.degree() * layout_.polynomials() * sizeof(uint64_t); }
  // kTile positions of every polynomial.
  const uint64_t* Tile(size_t tile) const { return words_.data() + tile * layout_.polynomials() * kTile; }

 private:
  Layout layout_;
  size_t rows_ = 0;
  LargeWords words_;
};

}  // namespace alcove::fhe
