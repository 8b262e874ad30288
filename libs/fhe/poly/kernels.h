// The inner loops on residues, one table of functions per instruction set. Everything here is plain data and function
// pointers: instruction-set files include this header and must share no inline function with others.
//
// All arrays hold n words, n a power of two >= 32, aligned to 64 bytes. All residues in and out are canonical, in [0,
// q), so that every table gives the same bits. Time does not depend on the values. permute and permute_signed take any
// alignment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// What the quotient beside a precomputed operand w is; QuotientOf() in poly/ntt.h computes it.
enum class Quotient {
  kShoup64,  // floor(w * 2^64 / q)
  kShoup52,  // floor(w * 2^52 / q)
  kDouble,   // the bits of the double w * (1 / q)
};

// Which operands w sum_products takes, eight by eight.
enum class SumOperand {
  kWithQuotients,  // w and then its quotients
  kMontgomery,     // w 2^52 modulo q
  kCentredDouble,  // the bits of the double w or w - q, whichever is smaller
};

// A permutation of transform values by an automorphism. Eight consecutive results come from one vector of eight in one
// of at most eight orders: result 8 b + l is word 8 source[b] + order[8 kind[b] + l].
struct PermutationView {
  size_t n;
  const uint32_t* source;
  const uint8_t* kind;
  const uint64_t* order;
};

// Precomputed operands w with their quotients; for kDouble centred in (-q/2, q/2), both as the bits of doubles.
struct NttView {
  uint64_t q;
  size_t n;
  // Index m + i: the twiddle of group i at the level of m groups, psi^brev(m + i), and its inverse.
  const uint64_t* root;
  const uint64_t* root_quotient;
  const uint64_t* inverse;
  const uint64_t* inverse_quotient;
  // 1/n, and 1/n times the last level's only twiddle.
  uint64_t scale, scale_quotient;
  uint64_t scaled_root, scaled_root_quotient;
};

// How a BFV message m in [0, t) enters a ciphertext at one prime: floor(Q/t) m + floor(((Q mod t) m + floor((t+1)/2)) /
// t), t < 2^31. delta is floor(Q/t) mod q, with its quotients for 64 and 52 bits; rest is Q mod t, rest_quotient52 is
// floor(rest 2^52 / t), t_ratio floor(2^64 / t).
struct MessageScale {
  uint64_t q, t;
  uint64_t delta, delta_quotient64, delta_quotient52;
  uint64_t rest, rest_quotient52;
  uint64_t t_ratio, q_ratio;
};

// Constants that move a value from one set of primes to another, all below 2^50: digit k is residue k times inverse[k]
// (with its 52-bit quotient) modulo from[k]; the value modulo to[j] is the sum of digits times factor[j * from_count +
// k], plus minus_product[j] times the rounded sum of digit k / from[k]. At most 15 primes from, 16 to.
struct ConversionView {
  size_t from_count, to_count;
  const uint64_t *from, *inverse, *inverse_quotient;
  const double* reciprocal;
  const uint64_t *to, *factor, *minus_product;
};

// How a residue modulo a prime p is divided away: (y - [x]) / p modulo q, [x] the centred x of [0, p). half = p / 2,
// half_mod_q = half mod q, q_ratio = floor(2^64 / q), inverse = 1 / p mod q with its quotient.
struct DivideView {
  uint64_t q, p;
  uint64_t half, half_mod_q, q_ratio;
  uint64_t inverse, inverse_quotient;
};

struct Kernels {
  // kShoup64 works for any q < 2^60, the others need q < 2^50.
  Quotient quotient;
  SumOperand sum_operand;

  // Negacyclic transform, standard order in, bit-reversed out (Harvey 2014: values stay in [0, 4q) between levels). in
  // holds values below 2q; out may be in.
  void (*forward)(uint64_t* out, const uint64_t* in, const NttView& t);
  // Its inverse, divided by n; values stay in [0, 2q) between levels.
  void (*inverse)(uint64_t* a, const NttView& t);
  // out = x * w
  void (*multiply)(uint64_t* out, const uint64_t* x, const uint64_t* w, const uint64_t* w_quotient, uint64_t q,
                   size_t n);
  // out = x * y without anything precomputed; out may be x or y.
  void (*multiply_values)(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n);
  // out = acc + x * w; out may be acc.
  void (*multiply_add)(uint64_t* out, const uint64_t* acc, const uint64_t* x, const uint64_t* w,
                       const uint64_t* w_quotient, uint64_t q, size_t n);
  // out0 = the sum of x[d] * w0[d] over d < terms, out1 that of x[d] * w1[d]; terms >= 1. w holds the operands
  // interleaved (PrepareOperand), so that they are one stream: of every eight words those of w0[0], w1[0], w0[1], … up
  // to w1[digits - 1]; digits >= terms.
  void (*sum_products)(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, size_t terms, const uint64_t* w,
                       size_t digits, uint64_t q, size_t n);
  // out = (x - y) * w for one operand w; out may be x or y.
  void (*subtract_scale)(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t w, uint64_t w_quotient,
                         uint64_t q, size_t n);
  void (*add)(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n);
  void (*subtract)(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n);
  // even = c + s, odd = (c - s) * w, element by element; even may be c.
  void (*fork)(uint64_t* even, uint64_t* odd, const uint64_t* c, const uint64_t* s, const uint64_t* w,
               const uint64_t* w_quotient, uint64_t q, size_t n);
  // out[i] = values[i] mod q, |values[i]| < q.
  void (*lift)(uint64_t* out, const int8_t* values, uint64_t q, size_t n);
  // out[i] = the scaled message[i], in [0, q).
  void (*scale_message)(uint64_t* out, const uint64_t* message, const MessageScale& scale, size_t n);
  // out[i] = the scaled message[i] - mask[i] - error[i], |error[i]| < q; message and out may have any
  // alignment.
  void (*mask_message)(uint64_t* out, const uint64_t* message, const uint64_t* mask, const int8_t* error,
                       const MessageScale& scale, size_t n);
  // out must not be in.
  void (*permute)(uint64_t* out, const uint64_t* in, const PermutationView& permutation);
  // out[i] = in[source[i]], negated modulo q where the top bit of source[i] is set; out must not be in.
  void (*permute_signed)(uint64_t* out, const uint64_t* in, const uint32_t* source, uint64_t q, size_t n);
  // out = ((x + half mod p) mod q) - (half mod q) mod q: the residue modulo q of x taken centred modulo p (half = p /
  // 2, half_mod_q = half mod q, q_ratio = floor(2^64 / q)). x in [0, p), p < 2^60; in tables for q < 2^50 p < 2^50 too.
  void (*centred_reduce)(uint64_t* out, const uint64_t* x, uint64_t p, uint64_t half, uint64_t q, uint64_t q_ratio,
                         uint64_t half_mod_q, size_t n);
  // out = base + (y - [x]) / p; x in [0, p), with p as above. out may be any of the others.
  void (*divide)(uint64_t* out, const uint64_t* base, const uint64_t* y, const uint64_t* x, const DivideView& by,
                 size_t n);
};

// out[j] = the value of the centred residues in[k], modulo to[j].
using ConvertFn = void (*)(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n);
// Need AVX-512 IFMA, AVX-512 and AVX2.
void Convert52(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n);
void ConvertDoubleAvx512(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n);
void ConvertDoubleAvx2(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n);
// In portable code, for tests.
void ConvertDoubleEmulated(const ConversionView& conversion, const uint64_t* const* in, uint64_t* const* out, size_t n);

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx2DoubleKernels;  // products through double-precision fused multiply-add
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512DoubleKernels;
// Integer-FMA tables: for q < 2^50, and with fewer reductions for q < 2^49 and q < 2^46 (poly/ntt52_impl.h).
extern const Kernels kAvx512IfmaTightKernels;
extern const Kernels kAvx512IfmaRoomyKernels;
extern const Kernels kAvx512IfmaAmpleKernels;
// The same with the two instructions spelled out in portable code, eight lanes as there: lets any CPU test that logic
// bit for bit.
extern const Kernels kEmulatedIfmaTightKernels;
extern const Kernels kEmulatedIfmaRoomyKernels;
extern const Kernels kEmulatedIfmaAmpleKernels;
// The double-precision tables' logic in portable code, eight lanes.
extern const Kernels kEmulatedDoubleKernels;

}  // namespace alcove::fhe
