// Polynomials of Z_q[X]/(X^N + 1) as residue rows, one per prime. The form is part of the type: coefficients and
// transform values never mix, and a conversion is always visible.
#pragma once

#include <absl/types/span.h>

#include "libs/fhe/poly/words.h"

namespace alcove::fhe {

enum class Form { kCoeff, kEval };

// `rows` x `degree` canonical residues. Not thread safe to change.
template <Form F>
class Poly {
 public:
  Poly() = default;
  // All zero.
  Poly(size_t rows, size_t degree) : rows_(rows), degree_(degree), words_(rows * degree) {}

  size_t rows() const { return rows_; }
  size_t degree() const { return degree_; }
  uint64_t* Row(size_t j) { return words_.data() + j * degree_; }
  const uint64_t* Row(size_t j) const { return words_.data() + j * degree_; }
  absl::Span<const uint64_t> words() const { return {words_.data(), words_.size()}; }
  absl::Span<uint64_t> words() { return {words_.data(), words_.size()}; }

  // The same words read in the other form: only transforms may call it.
  template <Form G>
  Poly<G> Reinterpret() && {
    Poly<G> out;
    out.rows_ = rows_;
    out.degree_ = degree_;
    out.words_ = std::move(words_);
    return out;
  }

  friend bool operator==(const Poly&, const Poly&) = default;

 private:
  template <Form G>
  friend class Poly;
  size_t rows_ = 0;
  size_t degree_ = 0;
  Words words_;
};

using CoeffPoly = Poly<Form::kCoeff>;
using EvalPoly = Poly<Form::kEval>;

}  // namespace alcove::fhe
