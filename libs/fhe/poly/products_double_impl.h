// What follows and precedes the transform on double-precision fused multiply-adds: sums of products, division by a
// prime, messages; once over the policy V of poly/ntt_double_impl.h. For primes below 2^50. V also supplies
//   FromWordsAny(p), StoreResidueAny(p, r, q)   the same at any alignment
//   FromBytes(p)                                kLanes signed bytes
//   Step(x, bound)                              1 where x >= bound, otherwise 0
#pragma once

#include "libs/fhe/poly/ntt_double_impl.h"

namespace alcove::fhe {

template <class V>
struct ProductsDouble {
  using T = typename V::type;
  using Transform = NttDouble<V>;
  using Constants = typename Transform::Constants;
  using Twiddle = typename Transform::Twiddle;
  static constexpr size_t L = V::kLanes;

  KERNEL_INLINE static Constants Set(uint64_t q) {
    return {V::Set1(static_cast<double>(q)), V::Set1(1.0 / static_cast<double>(q)), V::Set1(0x1.8p52)};
  }
  KERNEL_INLINE static Twiddle Operand(uint64_t w, uint64_t q) {
    const double centred = static_cast<double>(static_cast<int64_t>(w - (q & -static_cast<uint64_t>(w > q / 2))));
    return {V::Set1(centred), V::Set1(centred * (1.0 / static_cast<double>(q)))};
  }
  // x y modulo q from the rounded product instead of a quotient of y's: the estimate is within 1/2 + |x y / q| 2^-52 of
  // the quotient, so that the result is within 3/4 q for x and y in [0, q), and within 5/8 q for a centred y.
  KERNEL_INLINE static T ProductOfValues(T x, T y, const Constants& c) {
    const T h = V::Mul(x, y);
    const T e = V::Sub(V::Fma(h, c.inverse, c.magic), c.magic);
    const T l = V::Fms(x, y, h);
    return V::Add(V::Fnma(e, c.q, h), l);
  }
  // x in [0, p) centred.
  KERNEL_INLINE static T Centre(T x, T p, T above_half) { return V::Fnma(V::Step(x, above_half), p, x); }

  // w in [0, q) with the double nearest w / q: t is within 3/4 q.
  static void Multiply(uint64_t* out, const uint64_t* x, const uint64_t* w, const uint64_t* wq, uint64_t q, size_t n) {
    const Constants c = Set(q);
    for (size_t i = 0; i < n; i += L) {
      V::StoreResidue(out + i, Transform::Product(V::FromWords(x + i), {V::FromWords(w + i), V::Load(wq + i)}, c), c.q);
    }
  }

  static void MultiplyValues(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n) {
    const Constants c = Set(q);
    for (size_t i = 0; i < n; i += L) {
      V::StoreResidue(out + i, ProductOfValues(V::FromWords(x + i), V::FromWords(y + i), c), c.q);
    }
  }

  // Operands are centred, as doubles. Five products and a rest add up to less than 3.75 q < 2^52 before they are
  // reduced.
  static constexpr size_t kTogether = 5;
  static void SumProducts(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, size_t terms, const uint64_t* w,
                          size_t digits, uint64_t q, size_t n) {
    const Constants c = Set(q);
    for (size_t i = 0; i < n; i += L) {
      const uint64_t* at = w + i / 8 * digits * 16 + i % 8;
      T sum0 = V::Set1(0), sum1 = V::Set1(0);
      for (size_t d = 0; d < terms; ++d, at += 16) {
        if (d > 0 && d % kTogether == 0) {
          sum0 = Transform::Reduce(sum0, c);
          sum1 = Transform::Reduce(sum1, c);
        }
        const T y = V::FromWords(x[d] + i);
        sum0 = V::Add(sum0, ProductOfValues(y, V::Load(at), c));
        sum1 = V::Add(sum1, ProductOfValues(y, V::Load(at + 8), c));
      }
      V::StoreResidue(out0 + i, Transform::Reduce(sum0, c), c.q);
      V::StoreResidue(out1 + i, Transform::Reduce(sum1, c), c.q);
    }
  }

  static void CentredReduce(uint64_t* out, const uint64_t* x, uint64_t p, uint64_t half, uint64_t q, uint64_t, uint64_t,
                            size_t n) {
    const Constants c = Set(q);
    const T from = V::Set1(static_cast<double>(p)), above_half = V::Set1(static_cast<double>(half + 1));
    for (size_t i = 0; i < n; i += L) {
      V::StoreResidue(out + i, Transform::Reduce(Centre(V::FromWords(x + i), from, above_half), c), c.q);
    }
  }

  // y - [x] is within q + p / 2 < 2^51, the product by 1/p within 3/4 q, and with the base within 2 q.
  static void Divide(uint64_t* out, const uint64_t* base, const uint64_t* y, const uint64_t* x, const DivideView& by,
                     size_t n) {
    const Constants c = Set(by.q);
    const Twiddle inverse = Operand(by.inverse, by.q);
    const T p = V::Set1(static_cast<double>(by.p)), above_half = V::Set1(static_cast<double>(by.half + 1));
    for (size_t i = 0; i < n; i += L) {
      const T d = V::Sub(V::FromWords(y + i), Centre(V::FromWords(x + i), p, above_half));
      const T sum = V::Add(V::FromWords(base + i), Transform::Product(d, inverse, c));
      V::StoreResidue(out + i, Transform::Reduce(sum, c), c.q);
    }
  }

  // The scaled message of m in [0, t), t < 2^31, not reduced: within q + 2^31.
  struct Scale {
    Constants c, plain;
    Twiddle delta;
    T rest, half, zero, one;
    explicit Scale(const MessageScale& s)
        : c(Set(s.q)),
          plain(Set(s.t)),
          delta(Operand(s.delta, s.q)),
          rest(V::Set1(static_cast<double>(s.rest))),
          half(V::Set1(static_cast<double>((s.t + 1) / 2))),
          zero(V::Set1(0)),
          one(V::Set1(1)) {}
    KERNEL_INLINE T operator()(T m) const {
      // rest m = e t + r with r within t / 2 (and one); r + half decides whether the quotient is e - 1, e or e + 1.
      const T h = V::Mul(rest, m);
      const T e = V::Sub(V::Fma(h, plain.inverse, plain.magic), plain.magic);
      const T l = V::Fms(rest, m, h);
      const T r = V::Add(V::Add(V::Fnma(e, plain.q, h), l), half);
      const T rounding = V::Add(V::Sub(e, one), V::Add(V::Step(r, plain.q), V::Step(r, zero)));
      return V::Add(Transform::Product(m, delta, c), rounding);
    }
  };
  static void ScaleMessage(uint64_t* out, const uint64_t* message, const MessageScale& s, size_t n) {
    const Scale scale(s);
    for (size_t i = 0; i < n; i += L) {
      V::StoreResidue(out + i, Transform::Reduce(scale(V::FromWords(message + i)), scale.c), scale.c.q);
    }
  }
  static void MaskMessage(uint64_t* out, const uint64_t* message, const uint64_t* mask, const int8_t* error,
                          const MessageScale& s, size_t n) {
    const Scale scale(s);
    for (size_t i = 0; i < n; i += L) {
      const T taken = V::Add(V::FromWords(mask + i), V::FromBytes(error + i));
      const T sum = V::Sub(scale(V::FromWordsAny(message + i)), taken);
      V::StoreResidueAny(out + i, Transform::Reduce(sum, scale.c), scale.c.q);
    }
  }

  // Digits stay signed, within 3/4 of their primes, which changes their sum by a multiple of the product that the
  // rounded overflow takes away again. A product of a digit and a centred factor is within 5/8 of the target's prime,
  // so five and a rest add up to less than 4 of it.
  static void Convert(const ConversionView& v, const uint64_t* const* in, uint64_t* const* out, size_t n) {
    struct Source {
      Constants c;
      Twiddle inverse;
    } sources[16];
    struct Target {
      Constants c;
      T minus_product, factor[16];
    } targets[16];
    for (size_t k = 0; k < v.from_count; ++k) sources[k] = {Set(v.from[k]), Operand(v.inverse[k], v.from[k])};
    for (size_t j = 0; j < v.to_count; ++j) {
      targets[j].c = Set(v.to[j]);
      targets[j].minus_product = Operand(v.minus_product[j], v.to[j]).w;
      for (size_t k = 0; k < v.from_count; ++k) {
        targets[j].factor[k] = Operand(v.factor[j * v.from_count + k], v.to[j]).w;
      }
    }
    for (size_t i = 0; i < n; i += L) {
      T digits[16];
      T overflow = V::Set1(0);
      for (size_t k = 0; k < v.from_count; ++k) {
        const Source& s = sources[k];
        digits[k] = Transform::Product(V::FromWords(in[k] + i), s.inverse, s.c);
        overflow = V::Fma(digits[k], s.c.inverse, overflow);
      }
      const T magic = sources[0].c.magic;
      const T multiple = V::Sub(V::Add(overflow, magic), magic);
      for (size_t j = 0; j < v.to_count; ++j) {
        const Target& t = targets[j];
        T sum = ProductOfValues(multiple, t.minus_product, t.c);
        for (size_t k = 0; k < v.from_count; ++k) {
          if (k % kTogether == kTogether - 1) sum = Transform::Reduce(sum, t.c);
          sum = V::Add(sum, ProductOfValues(digits[k], t.factor[k], t.c));
        }
        V::StoreResidue(out[j] + i, Transform::Reduce(sum, t.c), t.c.q);
      }
    }
  }

  static constexpr void AddTo(Kernels& k) {
    k.forward = &Transform::Forward;
    k.inverse = &Transform::Inverse;
    k.multiply = &Multiply;
    k.multiply_values = &MultiplyValues;
    k.sum_operand = SumOperand::kCentredDouble;
    k.sum_products = &SumProducts;
    k.scale_message = &ScaleMessage;
    k.mask_message = &MaskMessage;
    k.centred_reduce = &CentredReduce;
    k.divide = &Divide;
  }
};

}  // namespace alcove::fhe
