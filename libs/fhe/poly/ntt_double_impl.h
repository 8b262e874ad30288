// The transform on double-precision fused multiply-adds, for CPUs without 52-bit integer ones, written once over a
// vector policy V so that a portable emulation tests the same logic. For primes below 2^50. Residues stay doubles,
// signed and not canonical, from the first level to the last.
//
// Arithmetic. All values are integers. With |w| <= q/2 and w' the double nearest w (1/q), off by two roundings,
//   e = x w' rounded to an integer,  h = x w rounded,  l = x w - h,  t = (h - e q) + l
// gives t = x w - e q exactly with |t| <= (1/2 + |x| 2^-53) q, for |x| < 2^52: e is within 1/2 + |x w / q| 2^-52 of the
// quotient; h - e q is an integer of at most |t| + 2^47 in absolute value, so it and t are exact (the technique of
// FLINT's fft_small, Schultz 2022). e is rounded by adding and subtracting 3 2^51, which needs |x w'| < 2^51. Six
// instructions, whose time does not depend on the values, none being subnormal; x - q round(x / q) is within q/2 (and
// one) for three.
//
// Ranges, bounds of |x| in multiples of q. What fits below 2^52: 4q for q < 2^50, 16q for q < 2^48.
// Forward (x' = x + t, y' = x - t) from an input below 2q, so that every level adds the bound of its t:
//   q < 2^50: 2, 2.75, 3.6; then by fours x is reduced first, giving 1.5, and 2.2, 2.9, 3.8 without.
//   q < 2^48: 2, 2.6, … 12.6 after fifteen levels, never reduced.
// Inverse (x' = x + y, y' = (x - y) w) from canonical values; sums double, and products are within q:
//   q < 2^50: 1, 2, and the sums of every second level, 4, are reduced.
//   q < 2^48: 1, 2, 4, 8, and the sums of every fourth level, 16, are reduced.
//   The last level multiplies both parts by 1/n (times w), which reduces them too.
#pragma once

#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {

// V supplies: type (kLanes doubles); Load, Store (doubles); Broadcast(p); Set1; FromWords(p), residues below 2^52;
// StoreResidue(p, r, q), r in (-q, q) stored as a residue in [0, q); Add, Sub, Mul, Fma(a, b, c) = a b + c,
// Fms(a, b, c) = a b - c, Fnma(a, b, c) = c - a b, each rounded once. And for the levels inside 2 kLanes words:
//   Enter(x, y)       from words 0 … kLanes-1 and the rest to first and second halves of groups of kLanes
//   Next<T>(x, y)     from halves of T words to halves of T/2;         Back<T> the reverse
//   Leave(x, y)       from even and odd words back to their order;     Start the reverse;  Exit the reverse of Enter
//   Spread<T>(p)      kLanes / T words, each repeated T times
template <class V>
struct NttDouble {
  using T = typename V::type;
  static constexpr size_t L = V::kLanes;
  // Levels inside 2 L words.
  static constexpr int kInside = __builtin_ctzll(L);

  struct Constants {
    T q, inverse, magic;
  };
  struct Twiddle {
    T w, wq;
  };

  KERNEL_INLINE static Constants Set(const NttView& t) {
    return {V::Set1(static_cast<double>(t.q)), V::Set1(1.0 / static_cast<double>(t.q)), V::Set1(0x1.8p52)};
  }
  KERNEL_INLINE static Twiddle Broadcast(const uint64_t* w, const uint64_t* wq, size_t i) {
    return {V::Broadcast(w + i), V::Broadcast(wq + i)};
  }
  template <size_t kT>
  KERNEL_INLINE static Twiddle Spread(const uint64_t* w, const uint64_t* wq, size_t i) {
    return {V::template Spread<kT>(w + i), V::template Spread<kT>(wq + i)};
  }
  KERNEL_INLINE static T Product(T x, Twiddle w, const Constants& c) {
    const T h = V::Mul(x, w.w);
    const T e = V::Sub(V::Fma(x, w.wq, c.magic), c.magic);
    const T l = V::Fms(x, w.w, h);
    return V::Add(V::Fnma(e, c.q, h), l);
  }
  KERNEL_INLINE static T Reduce(T x, const Constants& c) {
    return V::Fnma(V::Sub(V::Fma(x, c.inverse, c.magic), c.magic), c.q, x);
  }

  // --- forward

  // The level modulo four, or never to reduce.
  static constexpr int kNever = -1;
  static constexpr bool ForwardReduces(int phase, int level) { return phase != kNever && (phase + level) % 4 == 2; }

  template <bool kReduce>
  KERNEL_INLINE static void Forward2(T& x, T& y, Twiddle w, const Constants& c) {
    const T t = Product(y, w, c);
    if constexpr (kReduce) x = Reduce(x, c);
    y = V::Sub(x, t);
    x = V::Add(x, t);
  }
  template <int kPhase>
  KERNEL_INLINE static void Forward4(T* x, const Twiddle* w, const Constants& c) {
    Forward2<ForwardReduces(kPhase, 0)>(x[0], x[2], w[0], c);
    Forward2<ForwardReduces(kPhase, 0)>(x[1], x[3], w[0], c);
    Forward2<ForwardReduces(kPhase, 1)>(x[0], x[1], w[1], c);
    Forward2<ForwardReduces(kPhase, 1)>(x[2], x[3], w[2], c);
  }
  template <bool kWords>
  KERNEL_INLINE static T Read(const uint64_t* p) {
    if constexpr (kWords) {
      return V::FromWords(p);
    } else {
      return V::Load(p);
    }
  }
  // The twiddles of two levels below node `at` of the tree.
  KERNEL_INLINE static void LoadTwiddles(const uint64_t* w, const uint64_t* wq, size_t at, Twiddle* out) {
    out[0] = Broadcast(w, wq, at);
    out[1] = Broadcast(w, wq, 2 * at);
    out[2] = Broadcast(w, wq, 2 * at + 1);
  }
  // The first level, from words.
  static void ForwardFirst(uint64_t* a, const uint64_t* in, const NttView& t, const Constants& c) {
    const size_t half = t.n / 2;
    const Twiddle w = Broadcast(t.root, t.root_quotient, 1);
    for (size_t j = 0; j < half; j += L) {
      T x = V::FromWords(in + j), y = V::FromWords(in + j + half);
      Forward2<false>(x, y, w, c);
      V::Store(a + j, x);
      V::Store(a + j + half, y);
    }
  }
  // Two levels on vectors, m groups at the first.
  template <int kPhase, bool kWords>
  static void ForwardPass(uint64_t* a, const uint64_t* in, size_t m, const NttView& t, const Constants& c) {
    const size_t step = t.n / (4 * m);
    for (size_t i = 0; i < m; ++i) {
      Twiddle w[3];
      LoadTwiddles(t.root, t.root_quotient, m + i, w);
      const size_t group = i * 4 * step;
      for (size_t j = group; j < group + step; j += L) {
        T x[4] = {Read<kWords>(in + j), Read<kWords>(in + j + step), Read<kWords>(in + j + 2 * step),
                  Read<kWords>(in + j + 3 * step)};
        Forward4<kPhase>(x, w, c);
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; ++k) V::Store(a + j + k * step, x[k]);
      }
    }
  }
  template <int kPhase, size_t kT, int kLevel>
  KERNEL_INLINE static void ForwardNarrow(T& x, T& y, const NttView& t, size_t block, const Constants& c) {
    Forward2<ForwardReduces(kPhase, kLevel)>(x, y,
                                             Spread<kT>(t.root, t.root_quotient, t.n / (2 * kT) + block * (L / kT)), c);
    if constexpr (kT > 1) {
      V::template Next<kT>(x, y);
      ForwardNarrow<kPhase, kT / 2, kLevel + 1>(x, y, t, block, c);
    }
  }
  // All levels inside 2 L words. A pass of its own: with wide levels before it, the chain of one block would be too
  // long for a processor to look past it.
  template <int kPhase>
  static void ForwardInside(uint64_t* a, const NttView& t, const Constants& c) {
    for (size_t b = 0; b < t.n / (2 * L); ++b) {
      uint64_t* at = a + 2 * L * b;
      T x = V::Load(at), y = V::Load(at + L);
      V::Enter(x, y);
      ForwardNarrow<kPhase, L / 2, 0>(x, y, t, b, c);
      x = Reduce(x, c);
      y = Reduce(y, c);
      V::Leave(x, y);
      V::StoreResidue(at, x, c.q);
      V::StoreResidue(at + L, y, c.q);
    }
  }
  // Calls f with the phase of a level as a constant.
  template <int kValue>
  struct Phase {
    static constexpr int value = kValue;
  };
  template <bool kReduce, class F>
  KERNEL_INLINE static void AtPhase(int level, const F& f) {
    if constexpr (!kReduce) {
      f(Phase<kNever>());
    } else {
      switch (level % 4) {
        case 0: return f(Phase<0>());
        case 1: return f(Phase<1>());
        case 2: return f(Phase<2>());
        default: return f(Phase<3>());
      }
    }
  }
  template <bool kReduce>
  static void ForwardAll(uint64_t* a, const uint64_t* in, const NttView& t) {
    const Constants c = Set(t);
    const int before = __builtin_ctzll(t.n) - kInside;
    int level = 0;
    if (before % 2 == 1) {
      ForwardFirst(a, in, t, c);
      level = 1;
    }
    for (; level < before; level += 2) {
      AtPhase<kReduce>(level, [&](auto phase) KERNEL_LAMBDA {
        if (level == 0) {
          ForwardPass<decltype(phase)::value, true>(a, in, 1, t, c);
        } else {
          ForwardPass<decltype(phase)::value, false>(a, a, size_t{1} << level, t, c);
        }
      });
    }
    AtPhase<kReduce>(level, [&](auto phase) KERNEL_LAMBDA { ForwardInside<decltype(phase)::value>(a, t, c); });
  }
  static void Forward(uint64_t* a, const uint64_t* in, const NttView& t) {
    if (t.q < uint64_t{1} << 48) return ForwardAll<false>(a, in, t);
    return ForwardAll<true>(a, in, t);
  }

  // --- inverse; level 0 is the one with halves of one word, phases are levels modulo kEvery

  template <int kEvery>
  static constexpr bool InverseReduces(int phase, int level) {
    return (phase + level) % kEvery == kEvery - 1;
  }
  template <bool kReduce>
  KERNEL_INLINE static void Inverse2(T& x, T& y, Twiddle w, const Constants& c) {
    const T d = V::Sub(x, y);
    x = V::Add(x, y);
    if constexpr (kReduce) x = Reduce(x, c);
    y = Product(d, w, c);
  }
  KERNEL_INLINE static void InverseLast2(T& x, T& y, Twiddle scale, Twiddle scaled_root, const Constants& c) {
    const T d = V::Sub(x, y);
    x = Product(V::Add(x, y), scale, c);
    y = Product(d, scaled_root, c);
  }
  // Two levels on vectors; of the last two, w[0] is 1/n and w[3] that times the last level's twiddle.
  template <int kEvery, int kPhase, bool kLast>
  KERNEL_INLINE static void Inverse4(T* x, const Twiddle* w, const Constants& c) {
    Inverse2<InverseReduces<kEvery>(kPhase, 0)>(x[0], x[1], w[1], c);
    Inverse2<InverseReduces<kEvery>(kPhase, 0)>(x[2], x[3], w[2], c);
    if constexpr (kLast) {
      InverseLast2(x[0], x[2], w[0], w[3], c);
      InverseLast2(x[1], x[3], w[0], w[3], c);
    } else {
      Inverse2<InverseReduces<kEvery>(kPhase, 1)>(x[0], x[2], w[0], c);
      Inverse2<InverseReduces<kEvery>(kPhase, 1)>(x[1], x[3], w[0], c);
    }
  }
  template <bool kLast>
  KERNEL_INLINE static void InverseTwiddles(const NttView& t, size_t at, Twiddle* w) {
    LoadTwiddles(t.inverse, t.inverse_quotient, at, w);
    if constexpr (kLast) {
      w[0] = Broadcast(&t.scale, &t.scale_quotient, 0);
      w[3] = Broadcast(&t.scaled_root, &t.scaled_root_quotient, 0);
    }
  }
  template <bool kLast>
  KERNEL_INLINE static void Write(uint64_t* p, T x, const Constants& c) {
    if constexpr (kLast) {
      V::StoreResidue(p, x, c.q);
    } else {
      V::Store(p, x);
    }
  }
  template <int kEvery, size_t kT, int kLevel>
  KERNEL_INLINE static void InverseNarrow(T& x, T& y, const NttView& t, size_t block, const Constants& c) {
    Inverse2<InverseReduces<kEvery>(0, kLevel)>(
        x, y, Spread<kT>(t.inverse, t.inverse_quotient, t.n / (2 * kT) + block * (L / kT)), c);
    if constexpr (kT < L / 2) {
      V::template Back<kT>(x, y);
      InverseNarrow<kEvery, kT * 2, kLevel + 1>(x, y, t, block, c);
    }
  }
  template <int kEvery>
  static void InverseInside(uint64_t* a, const NttView& t, const Constants& c) {
    for (size_t b = 0; b < t.n / (2 * L); ++b) {
      uint64_t* at = a + 2 * L * b;
      T x = V::FromWords(at), y = V::FromWords(at + L);
      V::Start(x, y);
      InverseNarrow<kEvery, 1, 0>(x, y, t, b, c);
      V::Exit(x, y);
      V::Store(at, x);
      V::Store(at + L, y);
    }
  }
  // One level on vectors, with m groups; not the last.
  template <int kEvery, int kPhase>
  static void InverseOne(uint64_t* a, size_t m, const NttView& t, const Constants& c) {
    const size_t half = t.n / (2 * m);
    for (size_t i = 0; i < m; ++i) {
      const Twiddle w = Broadcast(t.inverse, t.inverse_quotient, m + i);
      uint64_t* g = a + i * 2 * half;
      for (size_t j = 0; j < half; j += L) {
        T x = V::Load(g + j), y = V::Load(g + j + half);
        Inverse2<InverseReduces<kEvery>(kPhase, 0)>(x, y, w, c);
        V::Store(g + j, x);
        V::Store(g + j + half, y);
      }
    }
  }
  // Two levels on vectors, with m groups after the second.
  template <int kEvery, int kPhase, bool kLast>
  static void InversePass(uint64_t* a, size_t m, const NttView& t, const Constants& c) {
    const size_t step = t.n / (4 * m);
    for (size_t i = 0; i < m; ++i) {
      Twiddle w[4];
      InverseTwiddles<kLast>(t, m + i, w);
      uint64_t* g = a + i * 4 * step;
      for (size_t j = 0; j < step; j += L) {
        T x[4] = {V::Load(g + j), V::Load(g + j + step), V::Load(g + j + 2 * step), V::Load(g + j + 3 * step)};
        Inverse4<kEvery, kPhase, kLast>(x, w, c);
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; ++k) Write<kLast>(g + j + k * step, x[k], c);
      }
    }
  }
  template <int kEvery, int kPhase>
  static void InversePairs(uint64_t* a, int left, const NttView& t, const Constants& c) {
    if (left == 2) return InversePass<kEvery, kPhase, true>(a, 1, t, c);
    InversePass<kEvery, kPhase, false>(a, size_t{1} << (left - 2), t, c);
    InversePairs<kEvery, (kPhase + 2) % kEvery>(a, left - 2, t, c);
  }
  template <int kEvery>
  static void InverseAll(uint64_t* a, const NttView& t) {
    const Constants c = Set(t);
    const int left = __builtin_ctzll(t.n) - kInside;
    constexpr int kPhase = kInside % kEvery;
    InverseInside<kEvery>(a, t, c);
    if (left % 2 == 0) return InversePairs<kEvery, kPhase>(a, left, t, c);
    InverseOne<kEvery, kPhase>(a, size_t{1} << (left - 1), t, c);
    InversePairs<kEvery, (kPhase + 1) % kEvery>(a, left - 1, t, c);
  }
  static void Inverse(uint64_t* a, const NttView& t) {
    if (t.q < uint64_t{1} << 48) return InverseAll<4>(a, t);
    return InverseAll<2>(a, t);
  }
};

}  // namespace alcove::fhe
