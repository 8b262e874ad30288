// Where the numbers of a query, of a row and of a score stand: the arithmetic both sides of a private search share.
//
// A query of `dimension` numbers travels in `parts()` ciphertexts. The server unfolds part p into part(p).selectors
// ciphertexts ("selectors"); selector s of a part stands for the numbers s, s + stride, s + 2 stride, … of that part,
// so that with chunk > 1 fewer key switches serve the same dimension ("partial expansion"). Rows are packed with the
// same stride: a block holds degree / chunk rows, and the score of row r of a block is one coefficient of the reply.
//
//   stride = 2^doublings    capacity of a part = chunk * stride
//   query:  number j of a part (j < part.numbers) is coefficient j, times 2^-part.doublings mod t
//   row:    number j of part p of row r is coefficient Position(r) - (j / stride) * stride of selector j % stride
//   score:  coefficient Position(r) = r % stride + (r / stride) * chunk * stride + (chunk - 1) * stride
//
// With chunk = 1 all of this is the identity: one selector a number, the score of row r is coefficient r.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace alcove::private_search {

// One ciphertext of a query.
struct QueryPart {
  uint32_t first = 0;      // of the vector's numbers
  uint32_t numbers = 0;    // how many of them
  uint32_t selectors = 0;  // ciphertexts it unfolds into
  uint32_t doublings = 0;  // of that expansion: the smallest l with 2^l >= selectors
  friend bool operator==(const QueryPart&, const QueryPart&) = default;
};

// An immutable value.
class Layout {
 public:
  // The cheapest layout for `rows` rows: the largest chunk with which they still fit one block, else 1.
  // INVALID_ARGUMENT unless degree is a power of two, 1 <= dimension <= 2,048 and 2^max_doublings <= degree.
  static absl::StatusOr<Layout> Choose(uint32_t degree, uint32_t dimension, uint32_t max_doublings, uint64_t rows);
  // A layout as described by a server. INVALID_ARGUMENT for anything Choose could not have given.
  static absl::StatusOr<Layout> Make(uint32_t degree, uint32_t dimension, uint32_t doublings, uint32_t chunk);

  uint32_t degree() const { return degree_; }
  uint32_t dimension() const { return dimension_; }
  uint32_t chunk() const { return chunk_; }
  uint32_t doublings() const { return doublings_; }
  uint32_t stride() const { return uint32_t{1} << doublings_; }
  uint32_t rows_per_block() const { return degree_ / chunk_; }
  const std::vector<QueryPart>& parts() const { return parts_; }
  // Of all parts together: the polynomials of a block.
  uint32_t selectors() const { return selectors_; }
  uint64_t Blocks(uint64_t rows) const { return (rows + rows_per_block() - 1) / rows_per_block(); }

  // The coefficient that holds the score of row `row` of a block.
  uint32_t Position(uint32_t row) const {
    return row % stride() + (row / stride()) * chunk_ * stride() + (chunk_ - 1) * stride();
  }

  // Spreads `rows` rows of `dimension` numbers each, row by row, to what a block is encoded from: `degree` positions
  // of `selectors` numbers each, position by position; missing ones are 0.
  std::vector<int8_t> Spread(absl::Span<const int8_t> values, uint32_t rows) const;

  friend bool operator==(const Layout& a, const Layout& b) {
    return a.degree_ == b.degree_ && a.dimension_ == b.dimension_ && a.doublings_ == b.doublings_ &&
           a.chunk_ == b.chunk_;
  }

 private:
  Layout(uint32_t degree, uint32_t dimension, uint32_t doublings, uint32_t chunk);

  uint32_t degree_ = 0;
  uint32_t dimension_ = 0;
  uint32_t doublings_ = 0;
  uint32_t chunk_ = 1;
  uint32_t selectors_ = 0;
  std::vector<QueryPart> parts_;
};

}  // namespace alcove::private_search
