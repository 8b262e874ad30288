// Computation on BFV ciphertexts without any secret: addition, multiplication by a plaintext, automorphisms with key
// switching. Results are bit for bit those of SEAL.
#pragma once

#include <memory>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/poly/automorphism.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {

// Two polynomials at the data level.
template <Form F>
struct RnsCiphertext {
  Poly<F> c0, c1;
  friend bool operator==(const RnsCiphertext&, const RnsCiphertext&) = default;
};
using CoeffCiphertext = RnsCiphertext<Form::kCoeff>;
using EvalCiphertext = RnsCiphertext<Form::kEval>;

// From a ciphertext that was read under the context's parameters, with two polynomials at the data level in coefficient
// form; expands its seed. FaultError for any other.
absl::StatusOr<CoeffCiphertext> FromWire(const Context& context, const Ciphertext& wire);
// At the level of the ciphertext's rows.
Ciphertext ToWire(const Context& context, const CoeffCiphertext& ciphertext);

// The keys of one switching target, expanded and prepared for sums of products: 16 N k l bytes for l digits and k key
// rows with 52-bit multiply-adds, up to twice as much without (OperandWords).
class SwitchKey {
 public:
  // `key` was read under the context's parameters.
  SwitchKey(const Context& context, const KeySwitchKey& key);
  size_t MemoryBytes() const { return words_.size() * sizeof(uint64_t); }
  size_t digits() const { return digits_; }
  // Both polynomials of all digits at a key row, interleaved as Kernels::sum_products wants them.
  const uint64_t* Row(size_t row) const { return words_.data() + start_[row]; }

 private:
  size_t digits_;
  std::vector<size_t> start_;  // of each row, in words, and of the end
  Words words_;
};

// The key of one Galois element, with its automorphism.
class GaloisKey : public SwitchKey {
 public:
  GaloisKey(const Context& context, const KeySwitchKey& key)
      : SwitchKey(context, key), automorphism_(2 * key.index + 1, context.degree()) {}
  const Automorphism& automorphism() const { return automorphism_; }

 private:
  Automorphism automorphism_;
};

// Scratch memory of key switching, reusable from call to call; not thread safe.
struct KeySwitchScratch {
  explicit KeySwitchScratch(const Context& context)
      : digits(context.data_rows(), context.degree()),
        reduced(context.degree()),
        zero(context.data_rows(), context.degree()),
        acc0(context.key_rows(), context.degree()),
        acc1(context.key_rows(), context.degree()) {}
  EvalPoly digits;
  Words reduced;
  CoeffPoly zero;  // stays so
  EvalPoly acc0, acc1;
};

// Inner product of the digits of `d` (coefficients at its level, 1 … data_rows() rows) with the key: acc0 and acc1 at
// the level's rows and, always as the last of key_rows(), the special prime's. `known`, if given, holds the transform
// values of d and saves one transform a row.
void AccumulateKeySwitch(const Context& context, const CoeffPoly& d, const SwitchKey& key, KeySwitchScratch& scratch,
                         const EvalPoly* known = nullptr);
// The end of key switching: the first rows of `acc` are divided by the special prime with rounding. As coefficients:
// out = base + acc / P for the rows of out; out and base may be one. As transform values: in place. Both use acc up.
void DivideBySpecial(const Context& context, EvalPoly& acc, KeySwitchScratch& scratch, const CoeffPoly& base,
                     CoeffPoly& out);
void DivideBySpecialEval(const Context& context, EvalPoly& acc, size_t rows, KeySwitchScratch& scratch);
// `in` divided by its last prime with rounding, at one row fewer; at least two rows.
CoeffPoly DropLastPrime(const Context& context, const CoeffPoly& in);
EvalPoly DropLastPrimeEval(const Context& context, const EvalPoly& in);

// Applies X -> X^g and switches back to the original key. The second form writes to `out`, which must not be `in`, and
// reuses its memory.
CoeffCiphertext ApplyGalois(const Context& context, const CoeffCiphertext& in, const GaloisKey& key,
                            KeySwitchScratch& scratch);
void ApplyGalois(const Context& context, const CoeffCiphertext& in, const GaloisKey& key, KeySwitchScratch& scratch,
                 CoeffCiphertext& out);

CoeffCiphertext Add(const Context& context, const CoeffCiphertext& a, const CoeffCiphertext& b);

// The plaintext from LiftPlaintext or LiftSigned.
EvalCiphertext MultiplyPlain(const Context& context, const EvalCiphertext& c, const EvalPoly& plain);

// A plaintext used again and again, with Shoup quotients: 16 N bytes a prime.
class PlainOperand {
 public:
  PlainOperand(const Context& context, EvalPoly plain);
  const EvalPoly& values() const { return values_; }
  const EvalPoly& quotients() const { return quotients_; }

 private:
  EvalPoly values_, quotients_;
};

// c *= plain.
void MultiplyPlainInPlace(const Context& context, EvalCiphertext& c, const PlainOperand& plain);

EvalCiphertext ToEval(const Context& context, CoeffCiphertext c);
CoeffCiphertext ToCoeff(const Context& context, EvalCiphertext c);

}  // namespace alcove::fhe
