// Where the numbers of a query, of a row and of a score stand in polynomials: what both sides of a search share.
//
// A query travels in `parts()` ciphertexts, one unless it has more numbers than a part takes. Part p holds the numbers
// first … first + numbers - 1 of the vector as coefficients 0, 1, …. The oblivious expansion doubles it until there is
// one ciphertext a number, or stops earlier: after l doublings ciphertext a (of 2^l) holds the numbers a, a + 2^l,
// a + 2 * 2^l, … of the part as coefficients of X^0, X^(2^l), …: `fold` of them. With fold = 1 (full expansion) a block
// of the collection has N rows, one a coefficient; with fold = f every row takes f coefficients, a block has about N /
// f rows, and f times fewer key switches are needed. So small collections fold (fewer key switches, more replies),
// large ones do not.
//
//   width = 2^levels
//   query   number j of a part is its coefficient j, times 2^-part.levels mod t
//   row     number j of part p of row r is coefficient Position(r) - (j / width) * width of plaintext j % width of p
//   score   coefficient Position(r) = r % width + (r / width) * fold * width + (fold - 1) * width of a reply
//
// Number a + k * width of a query meets its number of row r at Position(r); products of other pairs fall on
// coefficients that no row uses, because those of rows are fold - 1 modulo fold in units of width.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

namespace alcove::fhe {

// One ciphertext of a query.
struct QueryPart {
  size_t first = 0;        // of the vector's numbers
  size_t numbers = 0;      // how many of them
  size_t polynomials = 0;  // ciphertexts it expands to
  int levels = 0;          // doublings of that expansion: the smallest l with 2^l >= polynomials
  friend bool operator==(const QueryPart&, const QueryPart&) = default;
};

// An immutable value.
class Layout {
 public:
  // One ciphertext a query. 1 <= dimensions <= degree, 0 <= levels <= ExpansionLevels(dimensions); degree a power of
  // two. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<Layout> Create(size_t degree, size_t dimensions, int levels);
  // As described by a server: one ciphertext for every fold * 2^levels numbers. 1 <= fold <= ceil(dimensions /
  // 2^levels), fold * 2^levels <= degree.
  static absl::StatusOr<Layout> Create(size_t degree, size_t dimensions, int levels, size_t fold);
  // Full expansion: one row a coefficient.
  static absl::StatusOr<Layout> Full(size_t degree, size_t dimensions);
  // The layout with the least estimated time for `rows` rows that needs at most `max_blocks` replies (at least the full
  // layout's number is always allowed) and at most `max_levels` doublings, with 2^max_levels numbers or fewer in a
  // ciphertext of the query.
  static absl::StatusOr<Layout> ForRows(size_t degree, size_t dimensions, size_t rows, size_t max_blocks,
                                        int max_levels = 16);

  size_t degree() const { return degree_; }
  size_t dimensions() const { return dimensions_; }
  // Doublings of the expansion; its keys are those of doublings 0 … levels-1.
  int levels() const { return levels_; }
  // Numbers of a row in one ciphertext.
  size_t fold() const { return fold_; }
  size_t width() const { return size_t{1} << levels_; }
  const std::vector<QueryPart>& parts() const { return parts_; }
  // Ciphertexts of an expanded query, and plaintexts of a block, those of all parts one after another.
  size_t polynomials() const { return polynomials_; }
  size_t rows_per_block() const { return rows_per_block_; }
  size_t Blocks(size_t rows) const { return (rows + rows_per_block_ - 1) / rows_per_block_; }
  // Rows of block `block` of a collection of `rows`; block < Blocks(rows).
  size_t RowsOf(size_t block, size_t rows) const {
    const size_t left = rows - block * rows_per_block_;
    return left < rows_per_block_ ? left : rows_per_block_;
  }
  // The coefficient of row r < rows_per_block() in a reply.
  size_t Position(size_t row) const { return row % width() + ((row >> levels_) * fold_ + fold_ - 1) * width(); }

  friend bool operator==(const Layout&, const Layout&) = default;

 private:
  size_t degree_ = 0;
  size_t dimensions_ = 0;
  int levels_ = 0;
  size_t fold_ = 1;
  size_t polynomials_ = 0;
  size_t rows_per_block_ = 0;
  std::vector<QueryPart> parts_;
};

}  // namespace alcove::fhe
