#include "libs/fhe/search/block.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/search/stream_tile.h"

namespace alcove::fhe {
absl::StatusOr<Block> Block::Encode(const Context& context, const Layout& layout, absl::Span<const int8_t> values,
                                    size_t rows, const SignPattern& signs) {
  if (context.data_rows() != 1 || context.modulus(0).bits() > 50) {
    return FaultError(Fault::kPrimeOutOfRange, "scoring needs exactly one data prime, below 2^50");
  }
  const size_t n = context.degree();
  const size_t dimensions = layout.dimensions();
  if (layout.degree() != n || rows < 1 || rows > layout.rows_per_block() || layout.polynomials() > kMaxMacTerms ||
      values.size() != rows * dimensions || (!signs.empty() && signs.bytes().size() != n / 8)) {
    return absl::InvalidArgumentError(absl::StrCat("a block of ", rows, " rows and ", layout.dimensions(),
                                                   " dimensions with ", values.size(), " numbers"));
  }
  Block out;
  out.layout_ = layout;
  out.rows_ = rows;
  out.words_ = LargeWords(n * layout.polynomials());
  if (out.words_.data() == nullptr)
    return absl::ResourceExhaustedError("no memory for a block of the encoded collection");

  const uint64_t q = context.modulus(0).value();
  // Eight polynomials at a time, so that a cache line of the rows is used eight times for each visit.
  constexpr size_t kTogether = 8;
  std::vector<Words> coefficients(kTogether, Words(n));
  size_t done = 0;  // polynomials of earlier parts
  for (const QueryPart& part : layout.parts()) {
    for (size_t first = 0; first < part.polynomials; first += kTogether) {
      const size_t count = std::min(kTogether, part.polynomials - first);
      for (size_t i = 0; i < count; ++i) std::fill(coefficients[i].begin(), coefficients[i].end(), 0);
      for (size_t k = 0; k < layout.fold(); ++k) {
        const size_t j = first + k * layout.width();
        const size_t present = j < part.numbers ? std::min(count, part.numbers - j) : 0;
        for (size_t r = 0; r < rows && present > 0; ++r) {
          const size_t at = layout.Position(r) - k * layout.width();
          const int8_t* numbers = values.data() + r * dimensions + part.first + j;
          const int64_t sign = signs.Negative(layout.Position(r)) ? -1 : 1;
          for (size_t i = 0; i < present; ++i) {
            const int64_t v = sign * numbers[i];
            coefficients[i][at] = static_cast<uint64_t>(v) + (q & -static_cast<uint64_t>(v < 0));
          }
        }
      }
      for (size_t i = 0; i < count; ++i) {
        context.ntt(0).Forward(coefficients[i].data());
        for (size_t tile = 0; tile < n / kTile; ++tile) {
          StreamTile(coefficients[i].data() + tile * kTile,
                     out.words_.data() + (tile * layout.polynomials() + done + first + i) * kTile);
        }
      }
    }
    done += part.polynomials;
  }
  FinishStreaming();
  return out;
}

absl::StatusOr<Block> Block::Encode(const Context& context, absl::Span<const int8_t> values, size_t rows,
                                    size_t dimensions, const SignPattern& signs) {
  const auto layout = Layout::Full(context.degree(), dimensions);
  if (!layout.ok()) return layout.status();
  return Encode(context, *layout, values, rows, signs);
}

}  // namespace alcove::fhe
