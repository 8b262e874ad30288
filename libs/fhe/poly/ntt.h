// Number-theoretic transform of one prime with SEAL's root and order, and the modulus's kernels.
#pragma once

#include <vector>

#include <absl/types/span.h>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/poly/isa.h"
#include "libs/fhe/poly/kernels.h"
#include "libs/fhe/poly/words.h"

namespace alcove::fhe {

// Immutable after construction; thread safe.
class Ntt {
 public:
  // q prime, q = 1 mod 2 degree, q < 2^60; degree a power of two >= 32. Uses the best kernels for this CPU and prime.
  Ntt(const Modulus& q, size_t degree);
  // With given kernels, for tests and benchmarks.
  Ntt(const Modulus& q, size_t degree, const Kernels& kernels);

  const Modulus& modulus() const { return q_; }
  size_t degree() const { return degree_; }
  const Kernels& kernels() const { return *kernels_; }

  // In place; `a` holds `degree` canonical residues, 64-byte aligned. Coefficient i of the input is of X^i; value i of
  // the output is the polynomial at psi^(2 brev(i) + 1), psi the smallest primitive 2N-th root.
  void Forward(uint64_t* a) const { kernels_->forward(a, a, view_); }
  void Inverse(uint64_t* a) const { kernels_->inverse(a, view_); }
  // The same from `in`, values below 2q; `out` may be `in`.
  void Forward(const uint64_t* in, uint64_t* out) const { kernels_->forward(out, in, view_); }

  // What the kernels want beside an operand w < q. Constant time.
  uint64_t Quotient(uint64_t w) const;

 private:
  // Brings an operand of the transform into the form NttView wants and adds its quotient.
  void PrepareTwiddle(uint64_t& w, uint64_t& quotient) const;

  Modulus q_;
  size_t degree_;
  const Kernels* kernels_;
  Words root_, root_quotient_, inverse_, inverse_quotient_;
  NttView view_;
};

// The fastest kernels this machine runs for a modulus.
const Kernels& BestKernels(const Modulus& q);
// The fastest kernels of one instruction set for a modulus; those for q < 2^50 only are passed over beyond. The CPU
// must have it.
const Kernels& KernelsFor(Isa isa, const Modulus& q);

// The fastest conversion between primes below 2^50 for this machine; null where there is only the portable way.
ConvertFn BestConversion();

// The quotient of w < q that goes with the kernels.
uint64_t QuotientOf(const Kernels& kernels, const Modulus& q, uint64_t w);

// Words of an operand of sum_products for one residue.
inline size_t OperandWords(const Kernels& kernels) { return kernels.sum_operand == SumOperand::kWithQuotients ? 2 : 1; }
// Puts n residues w into their places among `operands` interleaved ones, as number `index`. Constant time.
void PrepareOperand(const Kernels& kernels, const Modulus& q, const uint64_t* w, size_t n, size_t operands,
                    size_t index, uint64_t* out);

// The low `bits` bits of x in reverse order.
size_t ReverseBits(size_t x, int bits);

}  // namespace alcove::fhe
