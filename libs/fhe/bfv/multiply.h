// The product of two BFV ciphertexts and the ways back to an ordinary one: relinearisation, modulus switching.
//
// Product: after Halevi, Polyakov, Shoup, "An improved RNS variant of the BFV homomorphic encryption scheme", 2019,
// section 4. Both operands are taken centred into further primes, multiplied as integers there, scaled by t/Q with
// rounding, and brought back. Decrypts as SEAL's product does; the noise differs in its last bit.
#pragma once

#include <memory>
#include <vector>

#include "libs/fhe/bfv/evaluator.h"

namespace alcove::fhe {

// A product before relinearisation: decrypts under 1, s, s^2.
struct CoeffProduct {
  CoeffPoly c0, c1, c2;
};

// Everything precomputed for products at one level. Immutable, thread safe.
class Multiplier {
 public:
  // For ciphertexts of `rows` primes, 1 … context.data_rows(). kUnknownScheme for contexts that are not BFV,
  // kPrimeCountOutOfRange for a level that does not exist.
  static absl::StatusOr<Multiplier> Create(std::shared_ptr<const Context> context, size_t rows);

  // Both operands at this level. Cost: with m further primes, 7 (rows + m) transforms.
  CoeffProduct Multiply(const CoeffCiphertext& a, const CoeffCiphertext& b) const;

 private:
  // Constants for moving a value from one set of primes to another: x_i * inverse_i gives the digits, digits times
  // factor[i] minus the overflow times product give the value modulo a target.
  struct Conversion {
    std::vector<Modulus> from, to;
    std::vector<uint64_t> inverse;        // (Q / q_k)^-1 mod q_k, perhaps times something more
    std::vector<double> reciprocal;       // 1 / q_k
    std::vector<uint64_t> factor;         // [to][from]: Q / q_k, perhaps times something more
    std::vector<uint64_t> minus_product;  // [to]: -Q, the same times more
    std::vector<uint64_t> quotient64, quotient52, from_values, to_values;
    bool narrow = false;  // all primes below 2^50, few enough for the vector kernel
  };
  explicit Multiplier(std::shared_ptr<const Context> context) : context_(std::move(context)) {}
  // Digits times `extra`, results divided by `divisor`.
  static Conversion MakeConversion(const std::vector<Modulus>& from, const std::vector<Modulus>& to, uint64_t extra,
                                   uint64_t divisor);
  // out[target] = the value of the centred residues in[row], modulo each target.
  static void Convert(const Conversion& conversion, const std::vector<const uint64_t*>& in,
                      const std::vector<uint64_t*>& out, size_t n);
  const Ntt& ntt(size_t row) const { return row < rows_ ? context_->ntt(row) : further_[row - rows_]; }
  // The operand as transform values at all rows.
  EvalPoly Extend(const CoeffPoly& in) const;
  CoeffPoly ScaleDown(EvalPoly product) const;

  std::shared_ptr<const Context> context_;
  size_t rows_ = 0;
  std::vector<Ntt> further_;
  Conversion up_, scaled_, down_;
  std::vector<uint64_t> t_over_q_, t_over_q_quotient_;  // t / Q modulo each further prime, for its kernels
};

// Adds the key-switched c2 to c0 and c1. `key` is the one for s^2, RelinKeys index 0.
CoeffCiphertext Relinearise(const Context& context, CoeffProduct product, const SwitchKey& key,
                            KeySwitchScratch& scratch);

// The same message under one prime fewer: divides by the last prime and rounds. At least two rows.
CoeffCiphertext ModSwitchDown(const Context& context, const CoeffCiphertext& in);

}  // namespace alcove::fhe
