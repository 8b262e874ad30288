// The kernels, written once over a vector policy V. An instruction-set file defines V in its anonymous namespace and
// takes KernelTable<V>::value, so that no instantiation is shared between files.
//
// V supplies:
//   type, kLanes, kQuotient
//   Load, Store, Set1, Add, Sub
//   ReduceOnce(x, m)        x >= m ? x - m : x, for x < 2^63
//   MulLazy(x, w, wq, q)    x * w mod q in [0, 2q), for x < 4q (any x for kShoup64)
//   MulHigh64(x, y)         floor(x * y / 2^64), MulLow64(x, y)
//   kGathers; if so, eight lanes and Reorder(x, order): lane l is lane order[l] of x; GatherSigned(in, source, q);
//   LoadSigned(p, q): eight signed bytes as residues; LoadAny, StoreAny: words of any alignment
//   for kLanes > 1 and T = kLanes/2 … 1:
//   Split<T>(a, b, x, y)    from 2 kLanes consecutive words in groups of 2T: first halves of the groups to x, second to
//   y Join<T>(x, y, a, b)     the reverse LoadGroups<T>(p)        kLanes / T words, each repeated T times
#pragma once

#include "libs/fhe/poly/kernels.h"

// A file may ask for ordinary functions instead, which compile in reasonable time for emulated vectors.
#ifndef KERNEL_INLINE
#define KERNEL_INLINE [[gnu::always_inline]]
#define KERNEL_LAMBDA __attribute__((always_inline))
#endif

namespace alcove::fhe {

template <class V>
struct KernelTable {
  using T = typename V::type;
  static constexpr size_t L = V::kLanes;
  struct Twiddle {
    T w, wq;
  };

  KERNEL_INLINE static Twiddle Broadcast(const uint64_t* w, const uint64_t* wq) { return {V::Set1(*w), V::Set1(*wq)}; }

  // x, y in [0, 4q) to x + w y, x - w y in [0, 4q).
  KERNEL_INLINE static void Forward2(T& x, T& y, Twiddle w, T q, T q2) {
    const T u = V::ReduceOnce(x, q2);
    const T v = V::MulLazy(y, w.w, w.wq, q);
    x = V::Add(u, v);
    y = V::Add(V::Sub(u, v), q2);
  }

  // x, y in [0, 2q) to x + y, (x - y) w in [0, 2q).
  KERNEL_INLINE static void Inverse2(T& x, T& y, Twiddle w, T q, T q2) {
    const T u = V::ReduceOnce(V::Add(x, y), q2);
    y = V::MulLazy(V::Add(V::Sub(x, y), q2), w.w, w.wq, q);
    x = u;
  }

  template <size_t kT>
  KERNEL_INLINE static void ForwardInside(T& a, T& b, const uint64_t* w, const uint64_t* wq, T q, T q2) {
    T x, y;
    V::template Split<kT>(a, b, x, y);
    Forward2(x, y, {V::template LoadGroups<kT>(w), V::template LoadGroups<kT>(wq)}, q, q2);
    V::template Join<kT>(x, y, a, b);
  }

  template <size_t kT>
  KERNEL_INLINE static void InverseInside(T& a, T& b, const uint64_t* w, const uint64_t* wq, T q, T q2) {
    T x, y;
    V::template Split<kT>(a, b, x, y);
    Inverse2(x, y, {V::template LoadGroups<kT>(w), V::template LoadGroups<kT>(wq)}, q, q2);
    V::template Join<kT>(x, y, a, b);
  }

  // Levels whose halves are narrower than a vector, on 2 L consecutive words starting at word 2 L * block.
  template <size_t kT>
  KERNEL_INLINE static void ForwardNarrow(T& a, T& b, const NttView& t, size_t block, T q, T q2) {
    if constexpr (kT >= 1) {
      const size_t at = t.n / (2 * kT) + block * (L / kT);
      ForwardInside<kT>(a, b, t.root + at, t.root_quotient + at, q, q2);
      ForwardNarrow<kT / 2>(a, b, t, block, q, q2);
    }
  }

  template <size_t kT>
  KERNEL_INLINE static void InverseNarrow(T& a, T& b, const NttView& t, size_t block, T q, T q2) {
    if constexpr (kT < L) {
      const size_t at = t.n / (2 * kT) + block * (L / kT);
      InverseInside<kT>(a, b, t.inverse + at, t.inverse_quotient + at, q, q2);
      InverseNarrow<kT * 2>(a, b, t, block, q, q2);
    }
  }

  static void Forward(uint64_t* a, const uint64_t* in, const NttView& t) {
    if (in != a) __builtin_memcpy(a, in, t.n * sizeof *a);
    const T q = V::Set1(t.q);
    const T q2 = V::Set1(2 * t.q);
    size_t m = 1;
    size_t half = t.n / 2;
    // Wide levels: two at a time, so that each word is loaded and stored half as often; an odd one goes first.
    size_t wide = 0;
    for (size_t h = half; h >= L; h /= 2) ++wide;
    if (wide % 2 == 1) {
      const Twiddle w = Broadcast(t.root + 1, t.root_quotient + 1);
      for (size_t j = 0; j < half; j += L) {
        T x = V::Load(a + j);
        T y = V::Load(a + j + half);
        Forward2(x, y, w, q, q2);
        V::Store(a + j, x);
        V::Store(a + j + half, y);
      }
      m *= 2;
      half /= 2;
      --wide;
    }
    for (; wide > 0; wide -= 2, m *= 4, half /= 4) {
      const size_t quarter = half / 2;
      for (size_t i = 0; i < m; ++i) {
        const Twiddle w1 = Broadcast(t.root + m + i, t.root_quotient + m + i);
        const Twiddle w2 = Broadcast(t.root + 2 * (m + i), t.root_quotient + 2 * (m + i));
        const Twiddle w3 = Broadcast(t.root + 2 * (m + i) + 1, t.root_quotient + 2 * (m + i) + 1);
        uint64_t* g = a + i * 2 * half;
        for (size_t j = 0; j < quarter; j += L) {
          T x0 = V::Load(g + j);
          T x1 = V::Load(g + j + quarter);
          T x2 = V::Load(g + j + 2 * quarter);
          T x3 = V::Load(g + j + 3 * quarter);
          Forward2(x0, x2, w1, q, q2);
          Forward2(x1, x3, w1, q, q2);
          Forward2(x0, x1, w2, q, q2);
          Forward2(x2, x3, w3, q, q2);
          V::Store(g + j, x0);
          V::Store(g + j + quarter, x1);
          V::Store(g + j + 2 * quarter, x2);
          V::Store(g + j + 3 * quarter, x3);
        }
      }
    }
    for (size_t block = 0; block < t.n / (2 * L); ++block) {
      T x = V::Load(a + 2 * L * block);
      T y = V::Load(a + 2 * L * block + L);
      ForwardNarrow<L / 2>(x, y, t, block, q, q2);
      V::Store(a + 2 * L * block, V::ReduceOnce(V::ReduceOnce(x, q2), q));
      V::Store(a + 2 * L * block + L, V::ReduceOnce(V::ReduceOnce(y, q2), q));
    }
  }

  static void Inverse(uint64_t* a, const NttView& t) {
    const T q = V::Set1(t.q);
    const T q2 = V::Set1(2 * t.q);
    if constexpr (L > 1) {
      for (size_t block = 0; block < t.n / (2 * L); ++block) {
        T x = V::Load(a + 2 * L * block);
        T y = V::Load(a + 2 * L * block + L);
        InverseNarrow<1>(x, y, t, block, q, q2);
        V::Store(a + 2 * L * block, x);
        V::Store(a + 2 * L * block + L, y);
      }
    }
    size_t half = L;
    size_t m = t.n / (2 * L);
    // Pairs of levels while more than one remains before the last, which also divides by n.
    for (; m >= 4; m /= 4, half *= 4) {
      for (size_t i = 0; i < m / 2; ++i) {
        const Twiddle w1 = Broadcast(t.inverse + m + 2 * i, t.inverse_quotient + m + 2 * i);
        const Twiddle w2 = Broadcast(t.inverse + m + 2 * i + 1, t.inverse_quotient + m + 2 * i + 1);
        const Twiddle w3 = Broadcast(t.inverse + m / 2 + i, t.inverse_quotient + m / 2 + i);
        uint64_t* g = a + i * 4 * half;
        for (size_t j = 0; j < half; j += L) {
          T x0 = V::Load(g + j);
          T x1 = V::Load(g + j + half);
          T x2 = V::Load(g + j + 2 * half);
          T x3 = V::Load(g + j + 3 * half);
          Inverse2(x0, x1, w1, q, q2);
          Inverse2(x2, x3, w2, q, q2);
          Inverse2(x0, x2, w3, q, q2);
          Inverse2(x1, x3, w3, q, q2);
          V::Store(g + j, x0);
          V::Store(g + j + half, x1);
          V::Store(g + j + 2 * half, x2);
          V::Store(g + j + 3 * half, x3);
        }
      }
    }
    if (m == 2) {
      for (size_t i = 0; i < 2; ++i) {
        const Twiddle w = Broadcast(t.inverse + 2 + i, t.inverse_quotient + 2 + i);
        uint64_t* g = a + i * 2 * half;
        for (size_t j = 0; j < half; j += L) {
          T x = V::Load(g + j);
          T y = V::Load(g + j + half);
          Inverse2(x, y, w, q, q2);
          V::Store(g + j, x);
          V::Store(g + j + half, y);
        }
      }
      half *= 2;
    }
    const Twiddle scale = Broadcast(&t.scale, &t.scale_quotient);
    const Twiddle scaled_root = Broadcast(&t.scaled_root, &t.scaled_root_quotient);
    for (size_t j = 0; j < half; j += L) {
      const T x = V::Load(a + j);
      const T y = V::Load(a + j + half);
      const T u = V::MulLazy(V::Add(x, y), scale.w, scale.wq, q);
      const T v = V::MulLazy(V::Add(V::Sub(x, y), q2), scaled_root.w, scaled_root.wq, q);
      V::Store(a + j, V::ReduceOnce(u, q));
      V::Store(a + j + half, V::ReduceOnce(v, q));
    }
  }

  static void Multiply(uint64_t* out, const uint64_t* x, const uint64_t* w, const uint64_t* wq, uint64_t modulus,
                       size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) {
      V::Store(out + i, V::ReduceOnce(V::MulLazy(V::Load(x + i), V::Load(w + i), V::Load(wq + i), q), q));
    }
  }

  // Barrett with floor(2^(2b) / q), q of b bits: the estimate is at most two too small.
  static void MultiplyValues(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t q, size_t n) {
    using Wide = unsigned __int128;
    const int b = 64 - __builtin_clzll(q);
    const uint64_t ratio = static_cast<uint64_t>((static_cast<Wide>(1) << (2 * b)) / q);
    for (size_t i = 0; i < n; ++i) {
      const Wide z = static_cast<Wide>(x[i]) * y[i];
      const uint64_t top = static_cast<uint64_t>(z >> (b - 1));
      const uint64_t estimate = static_cast<uint64_t>((static_cast<Wide>(top) * ratio) >> (b + 1));
      uint64_t r = static_cast<uint64_t>(z) - estimate * q;
      r -= 2 * q & -static_cast<uint64_t>(r >= 2 * q);
      out[i] = r - (q & -static_cast<uint64_t>(r >= q));
    }
  }

  static void MultiplyAdd(uint64_t* out, const uint64_t* acc, const uint64_t* x, const uint64_t* w, const uint64_t* wq,
                          uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) {
      const T product = V::ReduceOnce(V::MulLazy(V::Load(x + i), V::Load(w + i), V::Load(wq + i), q), q);
      V::Store(out + i, V::ReduceOnce(V::Add(V::Load(acc + i), product), q));
    }
  }

  // Eight words of an operand, then their eight quotients.
  static void SumProducts(uint64_t* out0, uint64_t* out1, const uint64_t* const* x, size_t terms, const uint64_t* w,
                          size_t digits, uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) {
      T sum0 = V::Set1(0), sum1 = V::Set1(0);
      const uint64_t* at = w + i / 8 * digits * 32 + i % 8;
      for (size_t d = 0; d < terms; ++d, at += 32) {
        const T y = V::Load(x[d] + i);
        const T product0 = V::MulLazy(y, V::Load(at), V::Load(at + 8), q);
        const T product1 = V::MulLazy(y, V::Load(at + 16), V::Load(at + 24), q);
        sum0 = V::ReduceOnce(V::Add(sum0, V::ReduceOnce(product0, q)), q);
        sum1 = V::ReduceOnce(V::Add(sum1, V::ReduceOnce(product1, q)), q);
      }
      V::Store(out0 + i, sum0);
      V::Store(out1 + i, sum1);
    }
  }

  static void SubtractScale(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t w, uint64_t wq,
                            uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    const Twiddle s = Broadcast(&w, &wq);
    for (size_t i = 0; i < n; i += L) {
      const T d = V::Sub(V::Add(V::Load(x + i), q), V::Load(y + i));
      V::Store(out + i, V::ReduceOnce(V::MulLazy(d, s.w, s.wq, q), q));
    }
  }

  static void AddAll(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) V::Store(out + i, V::ReduceOnce(V::Add(V::Load(x + i), V::Load(y + i)), q));
  }

  static void SubtractAll(uint64_t* out, const uint64_t* x, const uint64_t* y, uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) {
      V::Store(out + i, V::ReduceOnce(V::Sub(V::Add(V::Load(x + i), q), V::Load(y + i)), q));
    }
  }

  static void Fork(uint64_t* even, uint64_t* odd, const uint64_t* c, const uint64_t* s, const uint64_t* w,
                   const uint64_t* wq, uint64_t modulus, size_t n) {
    const T q = V::Set1(modulus);
    for (size_t i = 0; i < n; i += L) {
      const T x = V::Load(c + i);
      const T y = V::Load(s + i);
      V::Store(even + i, V::ReduceOnce(V::Add(x, y), q));
      const T d = V::Sub(V::Add(x, q), y);
      V::Store(odd + i, V::ReduceOnce(V::MulLazy(d, V::Load(w + i), V::Load(wq + i), q), q));
    }
  }

  static void Lift(uint64_t* out, const int8_t* values, uint64_t q, size_t n) {
    if constexpr (V::kGathers) {
      const T modulus = V::Set1(q);
      for (size_t i = 0; i < n; i += L) V::Store(out + i, V::LoadSigned(values + i, modulus));
    } else {
      for (size_t i = 0; i < n; ++i) {
        const int64_t v = values[i];
        out[i] = static_cast<uint64_t>(v) + (q & static_cast<uint64_t>(v >> 63));
      }
    }
  }

  static uint64_t ScaleOne(uint64_t m, const MessageScale& s) {
    using Wide = unsigned __int128;
    const auto high = [](uint64_t a, uint64_t b) { return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64); };
    // Below 2^62, and its quotient below t + 1; the estimate is at most one too small.
    const uint64_t x = s.rest * m + (s.t + 1) / 2;
    const uint64_t estimate = high(x, s.t_ratio);
    const uint64_t rounding = estimate + static_cast<uint64_t>(x - estimate * s.t >= s.t);
    const uint64_t product = Below(m * s.delta - high(m, s.delta_quotient64) * s.q, s.q);
    const uint64_t reduced = Below(rounding - high(rounding, s.q_ratio) * s.q, s.q);
    return Below(product + reduced, s.q);
  }
  static uint64_t Below(uint64_t x, uint64_t m) { return x - (m & -static_cast<uint64_t>(x >= m)); }

  static void ScaleMessage(uint64_t* out, const uint64_t* message, const MessageScale& s, size_t n) {
    for (size_t i = 0; i < n; ++i) out[i] = ScaleOne(message[i], s);
  }

  static void MaskMessage(uint64_t* out, const uint64_t* message, const uint64_t* mask, const int8_t* error,
                          const MessageScale& s, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const int64_t e = error[i];
      const uint64_t lifted = static_cast<uint64_t>(e) + (s.q & static_cast<uint64_t>(e >> 63));
      out[i] = Below(Below(ScaleOne(message[i], s) + s.q - mask[i], s.q) + s.q - lifted, s.q);
    }
  }

  static void Permute(uint64_t* out, const uint64_t* in, const PermutationView& p) {
    for (size_t b = 0; b < p.n / 8; ++b) {
      const uint64_t* from = in + size_t{8} * p.source[b];
      const uint64_t* order = p.order + size_t{8} * p.kind[b];
      if constexpr (V::kGathers) {
        V::StoreAny(out + 8 * b, V::Reorder(V::LoadAny(from), V::LoadAny(order)));
      } else {
        for (size_t l = 0; l < 8; ++l) out[8 * b + l] = from[order[l]];
      }
    }
  }

  static void PermuteSigned(uint64_t* out, const uint64_t* in, const uint32_t* source, uint64_t q, size_t n) {
    if constexpr (V::kGathers) {
      const T modulus = V::Set1(q);
      for (size_t i = 0; i < n; i += L) V::StoreAny(out + i, V::GatherSigned(in, source + i, modulus));
    } else {
      for (size_t i = 0; i < n; ++i) {
        const uint64_t value = in[source[i] & 0x7fffffff];
        const uint64_t negate = -static_cast<uint64_t>(source[i] >> 31);
        const uint64_t negated = (q - value) & -static_cast<uint64_t>(value != 0);
        out[i] = (value & ~negate) | (negated & negate);
      }
    }
  }

  static void CentredReduce(uint64_t* out, const uint64_t* x, uint64_t p, uint64_t half, uint64_t modulus,
                            uint64_t ratio, uint64_t half_mod_q, size_t n) {
    const T from = V::Set1(p);
    const T h = V::Set1(half);
    const T q = V::Set1(modulus);
    const T r = V::Set1(ratio);
    const T back = V::Set1(modulus - half_mod_q);
    for (size_t i = 0; i < n; i += L) V::Store(out + i, Centred(V::Load(x + i), from, h, q, r, back));
  }
  KERNEL_INLINE static T Centred(T x, T p, T half, T q, T ratio, T back) {
    const T c = V::ReduceOnce(V::Add(x, half), p);
    // The estimate of c / q is at most one too small, so the remainder is below 2q.
    const T rest = V::ReduceOnce(V::Sub(c, V::MulLow64(V::MulHigh64(c, ratio), q)), q);
    return V::ReduceOnce(V::Add(rest, back), q);
  }

  static void Divide(uint64_t* out, const uint64_t* base, const uint64_t* y, const uint64_t* x, const DivideView& by,
                     size_t n) {
    const T p = V::Set1(by.p), half = V::Set1(by.half), q = V::Set1(by.q), ratio = V::Set1(by.q_ratio);
    const T back = V::Set1(by.q - by.half_mod_q);
    const Twiddle inverse = Broadcast(&by.inverse, &by.inverse_quotient);
    for (size_t i = 0; i < n; i += L) {
      const T d = V::Sub(V::Add(V::Load(y + i), q), Centred(V::Load(x + i), p, half, q, ratio, back));
      const T quotient = V::ReduceOnce(V::MulLazy(d, inverse.w, inverse.wq, q), q);
      V::Store(out + i, V::ReduceOnce(V::Add(V::Load(base + i), quotient), q));
    }
  }

  static constexpr Kernels value = {V::kQuotient,   SumOperand::kWithQuotients,
                                    &Forward,       &Inverse,
                                    &Multiply,      &MultiplyValues,
                                    &MultiplyAdd,   &SumProducts,
                                    &SubtractScale, &AddAll,
                                    &SubtractAll,   &Fork,
                                    &Lift,          &ScaleMessage,
                                    &MaskMessage,   &Permute,
                                    &PermuteSigned, &CentredReduce,
                                    &Divide};
};

}  // namespace alcove::fhe
