// The automorphism X -> X^g of Z[X]/(X^N + 1) as index tables, for odd g < 2N.
#pragma once

#include <cstdint>
#include <vector>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/poly/kernels.h"
#include "libs/fhe/poly/words.h"

namespace alcove::fhe {

class Automorphism {
 public:
  Automorphism(uint64_t element, size_t degree);
  uint64_t element() const { return element_; }

  // in and out hold `degree` words of any alignment; out must not be in. Coefficient i moves to i g mod 2N; at N and
  // beyond it is negated.
  void ApplyCoeff(const uint64_t* in, uint64_t* out, const Modulus& q) const;
  // Transform values only change places.
  void ApplyEval(const uint64_t* in, uint64_t* out) const;

 private:
  uint64_t element_;
  const Kernels* kernels_;
  std::vector<uint32_t> coeff_source_;  // source index, top bit: negate
  std::vector<uint32_t> eval_source_;   // of each eight values; see PermutationView
  std::vector<uint8_t> eval_kind_;
  Words eval_order_;
};

}  // namespace alcove::fhe
