// Where the numbers of a collection and of a query sit in polynomials.
//
// A query of `dimensions` numbers is one plaintext whose coefficient d is number d. After l doublings of the oblivious
// expansion, ciphertext a (of 2^l) holds the numbers a, a + 2^l, a + 2 * 2^l, … as coefficients of X^0, X^(2^l), …:
// `fold` of them. With fold = 1 (full expansion) a block of the collection has N rows, one a coefficient; with fold = f
// every row takes f coefficients, a block has about N / f rows, and f times fewer key switches are needed. So small
// collections fold (fewer key switches, more replies), large ones do not.
//
// Row r of a block is scored in coefficient Position(r) of its reply. Query number a + k 2^l meets plaintext a at
// Position(r) - k 2^l; products of other pairs fall on coefficients that no row uses.
#pragma once

#include <cstddef>
#include <cstdint>

#include <absl/status/statusor.h>

namespace alcove::fhe {

class Layout {
 public:
  // 1 <= dimensions <= degree, 0 <= levels <= ExpansionLevels(dimensions); degree a power of two.
  static absl::StatusOr<Layout> Create(size_t degree, size_t dimensions, int levels);
  // Full expansion: one row a coefficient.
  static absl::StatusOr<Layout> Full(size_t degree, size_t dimensions);
  // The layout with the least estimated time for `rows` rows that needs at most `max_blocks` replies (at least the full
  // layout's number is always allowed).
  static absl::StatusOr<Layout> ForRows(size_t degree, size_t dimensions, size_t rows, size_t max_blocks);

  size_t degree() const { return degree_; }
  size_t dimensions() const { return dimensions_; }
  // Doublings of the expansion; its keys are those of doublings 0 … levels-1.
  int levels() const { return levels_; }
  // Numbers of a row in one ciphertext.
  size_t fold() const { return fold_; }
  // Ciphertexts of an expanded query, and plaintexts of a block.
  size_t polynomials() const { return polynomials_; }
  size_t rows_per_block() const { return rows_per_block_; }
  size_t Blocks(size_t rows) const { return (rows + rows_per_block_ - 1) / rows_per_block_; }
  // The coefficient of row r < rows_per_block() in a reply.
  size_t Position(size_t row) const {
    const size_t width = size_t{1} << levels_;
    return row % width + (row / width) * width * fold_;
  }

  friend bool operator==(const Layout&, const Layout&) = default;

 private:
  size_t degree_ = 0;
  size_t dimensions_ = 0;
  int levels_ = 0;
  size_t fold_ = 1;
  size_t polynomials_ = 0;
  size_t rows_per_block_ = 0;
};

}  // namespace alcove::fhe
