// Sums of products and division by a prime on 52-bit multiply-adds, once over the policy V of poly/ntt52_impl.h, which
// also supplies Right52(x), x shifted right by 52 bits. For primes below 2^50.
#pragma once

#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {

template <class V>
struct Products52 {
  using T = typename V::type;
  static constexpr size_t L = 8;
  static constexpr uint64_t kTop = uint64_t{1} << 52;

  // -1/q modulo 2^52 (Newton; every step doubles the number of correct bits).
  static constexpr uint64_t MinusInverse(uint64_t q) {
    uint64_t x = q;  // correct to three bits
    for (int i = 0; i < 5; ++i) x *= 2 - q * x;
    return (0 - x) & (kTop - 1);
  }

  // Operands are w 2^52 mod q (Montgomery, "Modular multiplication without trial division", 1985). The low and high
  // halves of up to three products add up to low + 2^52 high; with m = -low / q mod 2^52 the sum plus m q is a multiple
  // of 2^52, and divided by it is at most 3 (q - 1)^2 / 2^52 + q + 1 < 2q, q being below 2^50.
  static constexpr size_t kTogether = 3;
  struct Wide {
    T low, high;
  };
  KERNEL_INLINE static void Accumulate(Wide& sum, T a, T b) {
    sum.low = V::MaddLo(sum.low, a, b);
    sum.high = V::MaddHi(sum.high, a, b);
  }
  KERNEL_INLINE static T Reduce(const Wide& sum, T q, T minus_inverse) {
    const T m = V::MaddLo(V::Set1(0), sum.low, minus_inverse);
    const T out = V::Add(V::MaddHi(sum.high, m, q), V::Right52(V::MaddLo(sum.low, m, q)));
    return V::Min(out, V::Sub(out, q));
  }
  template <size_t kTerms, bool kMore>
  static void Some(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, const uint64_t* w, size_t digits,
                   uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus), minus_inverse = V::Set1(MinusInverse(modulus)), zero = V::Set1(0);
    const auto put = [&](uint64_t* to, const Wide& wide) {
      T sum = Reduce(wide, q, minus_inverse);
      if constexpr (kMore) {
        sum = V::Add(sum, V::Load(to));
        sum = V::Min(sum, V::Sub(sum, q));
      }
      V::Store(to, sum);
    };
    for (size_t i = 0; i < n; i += L, w += digits * 2 * L) {
      Wide sum0{zero, zero}, sum1{zero, zero};
#pragma GCC unroll 3
      for (size_t d = 0; d < kTerms; ++d) {
        const T y = V::Load(x[d] + i);
        Accumulate(sum0, y, V::Load(w + d * 2 * L));
        Accumulate(sum1, y, V::Load(w + d * 2 * L + L));
      }
      put(out0 + i, sum0);
      put(out1 + i, sum1);
    }
  }
  template <bool kMore>
  static void Up(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, size_t terms, const uint64_t* w,
                 size_t digits, uint64_t q, size_t n) {
    switch (terms) {
      case 1: return Some<1, kMore>(out0, out1, x, w, digits, q, n);
      case 2: return Some<2, kMore>(out0, out1, x, w, digits, q, n);
      default: return Some<kTogether, kMore>(out0, out1, x, w, digits, q, n);
    }
  }
  static void SumProducts(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, size_t terms, const uint64_t* w,
                          size_t digits, uint64_t q, size_t n) {
    Up<false>(out0, out1, x, terms, w, digits, q, n);
    for (size_t d = kTogether; d < terms; d += kTogether) {
      Up<true>(out0, out1, x + d, terms - d, w + d * 2 * L, digits, q, n);
    }
  }

  // With c = x + half mod p, y - [x] is y - c + half modulo q. Adding a multiple of q that is at least p keeps it
  // positive, and it stays below p + 3q < 2^52, which the product takes as it is (poly/ntt52_impl.h).
  static void Divide(uint64_t* out, const uint64_t* base, const uint64_t* y, const uint64_t* x, const DivideView& by,
                     size_t n) {
    const T p = V::Set1(by.p), half = V::Set1(by.half), q = V::Set1(by.q), minus_q = V::Set1(kTop - by.q);
    const T offset = V::Set1(by.half_mod_q + (by.p / by.q + 1) * by.q);
    const T w = V::Set1(by.inverse), wq = V::Set1(by.inverse_quotient);
    const T mask = V::Set1(kTop - 1), zero = V::Set1(0);
    for (size_t i = 0; i < n; i += L) {
      const T shifted = V::Add(V::Load(x + i), half);
      const T c = V::Min(shifted, V::Sub(shifted, p));
      const T d = V::Sub(V::Add(V::Load(y + i), offset), c);
      const T product = V::And(V::MaddLo(V::MaddLo(zero, d, w), V::MaddHi(zero, d, wq), minus_q), mask);
      const T sum = V::Add(V::Load(base + i), V::Min(product, V::Sub(product, q)));
      V::Store(out + i, V::Min(sum, V::Sub(sum, q)));
    }
  }

  static constexpr void AddTo(Kernels& k) {
    k.sum_operand = SumOperand::kMontgomery;
    k.sum_products = &SumProducts;
    k.divide = &Divide;
  }
};

}  // namespace alcove::fhe
