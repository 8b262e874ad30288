// The transform on 52-bit integer multiply-adds (AVX-512 IFMA), written once over a vector policy V so that a portable
// emulation tests the same logic. For primes below 2^50.
//
// Arithmetic. Words count modulo 2^52 only: the multiply-adds read the low 52 bits of their factors, so what overflows
// into the upper twelve bits is never seen and needs no masking until the last step. What must hold at every step is
// that the *true* value of a word lies in [0, 2^52). With w' = floor(w 2^52 / q), the Shoup product
//   t = w y - floor(w' y / 2^52) q   is in [0, q + q y / 2^52), so below 2q for any y < 2^52
// (Harvey 2014, section 2), three multiply-adds with -q taken as 2^52 - q. With M = floor(2^52 / q), the Barrett step
//   u = x - floor(M x / 2^52) q      is in [0, 2q)
// takes two. Starting an estimate at -k or k adds k q to the result or takes it away, for nothing.
//
// Ranges. How many multiples of q fit below 2^52 decides how often a butterfly must reduce; kSlack says which schedule
// a prime allows (Slack52). Bounds after each level, in multiples of q, forward (x' = x + t, y' = x - t + 2q), from an
// input below 2q:
//   kTight  (q < 2^50, 4q fits):  level 1 to 4q; from then on x is reduced into [q, 3q) first and t taken in [-q, q),
//   so
//                                 that both sum and difference lie in [0, 4q) without another addition.
//   kRoomy  (q < 2^49, 8q fits):  4q, 6q, 8q; then by turns x reduced into [2q, 4q) with y' = x - t, giving 6q, and not
//                                 reduced, giving 8q.
//   kAmple  (q < 2^46, 64q fits): x starts with 2 l q added, for l levels, and never needs anything: at most 4 l q +
//   2q.
// Inverse (x' = x + y, y' = (x - y + a multiple) w):
//   kTight:  values below 2q; x + y < 4q reduced to 2q at every level.
//   kRoomy:  2q, 4q (x' not reduced), then reduced to 2q, by turns.
//   kAmple:  sums double: from 2q to 64q in five levels, then one reduces to 2q.
#pragma once

#include "libs/fhe/poly/kernels_impl.h"

namespace alcove::fhe {

enum Slack52 { kTight, kRoomy, kAmple };

// V supplies: type; HasLog(l), whether degree 2^l is wanted; Load, Store, Set1, Add, Sub, And, Min (unsigned);
// MaddLo(acc, a, b), MaddHi(acc, a, b); and for the levels inside 16 words (element i of the 16 is word i in memory):
//   LoadFours(p, x, y)    x = elements 0-3 8-11, y = 4-7 12-15;       StoreFours the reverse
//   FoursToTwos(x, y)     to x = 0 1 4 5 8 9 12 13, y = 2 3 6 7 …;    TwosToFours the reverse (the same permutation)
//   TwosToOnes(x, y)      to x = even elements, y = odd elements;     OnesToTwos the reverse (the same permutation)
//   LoadOnes(p, x, y), StoreOnes(p, x, y)
//   Spread4(p)            words p[0] four times, p[1] four times;     Spread2(p) p[0] p[0] p[1] p[1] p[2] …
template <class V, Slack52 kSlack>
struct Ntt52 {
  using T = typename V::type;
  static constexpr size_t L = 8;
  static constexpr uint64_t kMask = (uint64_t{1} << 52) - 1;

  struct Constants {
    T q, q2, minus_q, barrett, minus_two, minus_one, one, mask, zero;
  };
  struct Twiddle {
    T w, wq;
  };
  enum Mode { kPlain, kReduceCentred, kReduceOffset, kCarry };

  KERNEL_INLINE static Constants Set(const NttView& t) {
    return {V::Set1(t.q),
            V::Set1(2 * t.q),
            V::Set1((kMask + 1) - t.q),
            V::Set1((kMask + 1) / t.q),
            V::Set1(~uint64_t{1}),
            V::Set1(~uint64_t{0}),
            V::Set1(1),
            V::Set1(kMask),
            V::Set1(0)};
  }
  KERNEL_INLINE static Twiddle Broadcast(const uint64_t* w, const uint64_t* wq, size_t i) {
    return {V::Set1(w[i]), V::Set1(wq[i])};
  }
  // The twiddles of kLevels levels below node `at` of the tree, level by level.
  template <int kLevels, int kIndex = 0>
  KERNEL_INLINE static void LoadTwiddles(const uint64_t* w, const uint64_t* wq, size_t at, Twiddle* out) {
    if constexpr (kIndex + 1 < (1 << kLevels)) {
      constexpr int kDepth = 31 - __builtin_clz(kIndex + 1);
      out[kIndex] = Broadcast(w, wq, (at << kDepth) + static_cast<size_t>(kIndex + 1 - (1 << kDepth)));
      LoadTwiddles<kLevels, kIndex + 1>(w, wq, at, out);
    }
  }
  // acc + y w, less `start` times q.
  KERNEL_INLINE static T Product(T acc, T y, Twiddle w, const Constants& c, T start) {
    const T estimate = V::MaddHi(start, y, w.wq);
    return V::MaddLo(V::MaddLo(acc, y, w.w), estimate, c.minus_q);
  }
  KERNEL_INLINE static T Reduce(T x, const Constants& c) {
    return V::MaddLo(x, V::MaddHi(c.zero, x, c.barrett), c.minus_q);
  }
  // Any true value below 2^52 to [0, q).
  KERNEL_INLINE static T Canonical(T x, const Constants& c) {
    const T r = V::And(Reduce(x, c), c.mask);
    return V::Min(r, V::Sub(r, c.q));
  }

  // --- forward

  static constexpr Mode ForwardMode(int level) {
    if (kSlack == kAmple) return kCarry;
    if (kSlack == kTight) return level == 0 ? kPlain : kReduceCentred;
    if (level < 3) return kPlain;
    return (level - 3) % 2 == 0 ? kReduceOffset : kPlain;
  }
  template <Mode kMode>
  KERNEL_INLINE static void Forward2(T& x, T& y, Twiddle w, const Constants& c) {
    const T t = Product(c.zero, y, w, c, kMode == kReduceCentred ? c.one : c.zero);
    if constexpr (kMode == kCarry) {
      y = V::Sub(x, t);
      x = V::Add(x, t);
    } else if constexpr (kMode == kPlain) {
      y = V::Sub(V::Add(x, c.q2), t);
      x = V::Add(x, t);
    } else {
      const T start = kMode == kReduceCentred ? c.minus_one : c.minus_two;
      const T u = V::MaddLo(x, V::MaddHi(start, x, c.barrett), c.minus_q);
      y = V::Sub(u, t);
      x = V::Add(u, t);
    }
  }

  // kLevels (1 … 3) levels from `kLevel` on, on 2^kLevels vectors `step` words apart; group i of 2^kLevel.
  template <int kLevel, int kLevels>
  KERNEL_INLINE static void ForwardStep(uint64_t* a, const uint64_t* in, size_t step, const Twiddle* w,
                                        const Constants& c, T offset) {
    constexpr int kCount = 1 << kLevels;
    T x[kCount];
#pragma GCC unroll 8
    for (int k = 0; k < kCount; ++k) {
      x[k] = V::Load(in + static_cast<size_t>(k) * step);
      if (kSlack == kAmple && kLevel == 0 && k < kCount / 2) x[k] = V::Add(x[k], offset);
    }
    ForwardLevels<kLevel, kLevels, 0>(x, w, c);
#pragma GCC unroll 8
    for (int k = 0; k < kCount; ++k) V::Store(a + static_cast<size_t>(k) * step, x[k]);
  }
  template <int kLevel, int kLevels, int kDone>
  KERNEL_INLINE static void ForwardLevels(T* x, const Twiddle* w, const Constants& c) {
    if constexpr (kDone < kLevels) {
      constexpr int kHalf = 1 << (kLevels - kDone - 1);
      constexpr Mode kMode = ForwardMode(kLevel + kDone);
#pragma GCC unroll 4
      for (int g = 0; g < (1 << kDone); ++g) {
#pragma GCC unroll 4
        for (int k = 0; k < kHalf; ++k) {
          Forward2<kMode>(x[g * 2 * kHalf + k], x[g * 2 * kHalf + kHalf + k], w[(1 << kDone) - 1 + g], c);
        }
      }
      ForwardLevels<kLevel, kLevels, kDone + 1>(x, w, c);
    }
  }
  template <int kLog, int kLevel, int kLevels>
  static void ForwardPass(uint64_t* a, const uint64_t* in, const NttView& t, const Constants& c, T offset) {
    constexpr size_t kStep = size_t{1} << (kLog - kLevel - kLevels);
    for (size_t i = 0; i < size_t{1} << kLevel; ++i) {
      Twiddle w[7];
      const size_t at = (size_t{1} << kLevel) + i;
      LoadTwiddles<kLevels>(t.root, t.root_quotient, at, w);
      const size_t group = i * (kStep << kLevels);
      for (size_t j = group; j < group + kStep; j += L)
        ForwardStep<kLevel, kLevels>(a + j, in + j, kStep, w, c, offset);
    }
  }
  template <int kLog, int kLevel>
  KERNEL_INLINE static void ForwardWide(uint64_t* a, const uint64_t* in, const NttView& t, const Constants& c,
                                        T offset) {
    constexpr int kLeft = kLog - 3 - kLevel;
    if constexpr (kLeft > 0) {
      constexpr int kNow = kLeft % 3 != 0 ? kLeft % 3 : 3;
      ForwardPass<kLog, kLevel, kNow>(a, in, t, c, offset);
      ForwardWide<kLog, kLevel + kNow>(a, a, t, c, offset);
    }
  }
  // Runs the steps of the levels inside 16 words on up to four blocks side by side, so that the multiplications of some
  // fill the waits of others: step(x, y, block).
  template <int kLog, class... Steps>
  KERNEL_INLINE static void EachBlock(const Steps&... steps) {
    constexpr size_t kBlocks = (size_t{1} << kLog) / 16;
    constexpr size_t kTogether = kBlocks < 4 ? kBlocks : 4;
    for (size_t block = 0; block < kBlocks; block += kTogether) {
      T x[kTogether], y[kTogether];
      const auto all = [&](const auto& step) KERNEL_LAMBDA {
#pragma GCC unroll 4
        for (size_t k = 0; k < kTogether; ++k) step(x[k], y[k], block + k);
      };
      (all(steps), ...);
    }
  }
  template <int kLog>
  static void ForwardLog(uint64_t* a, const uint64_t* in, const NttView& t) {
    const Constants c = Set(t);
    ForwardWide<kLog, 0>(a, in, t, c, V::Set1(2 * kLog * t.q));
    constexpr size_t kN = size_t{1} << kLog;
    EachBlock<kLog>(
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          V::LoadFours(a + 16 * block, x, y);
          const size_t at = kN / 8 + 2 * block;
          Forward2<ForwardMode(kLog - 3)>(x, y, {V::Spread4(t.root + at), V::Spread4(t.root_quotient + at)}, c);
          V::FoursToTwos(x, y);
        },
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          const size_t at = kN / 4 + 4 * block;
          Forward2<ForwardMode(kLog - 2)>(x, y, {V::Spread2(t.root + at), V::Spread2(t.root_quotient + at)}, c);
          V::TwosToOnes(x, y);
        },
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          const size_t at = kN / 2 + 8 * block;
          Forward2<ForwardMode(kLog - 1)>(x, y, {V::Load(t.root + at), V::Load(t.root_quotient + at)}, c);
        },
        [&](T& x, T& y, size_t block)
            KERNEL_LAMBDA { V::StoreOnes(a + 16 * block, Canonical(x, c), Canonical(y, c)); });
  }

  // --- inverse; level 0 is the one with halves of one word

  // The bound before a level, in multiples of q, and whether the level reduces its sums.
  static constexpr uint64_t InverseBound(int level) {
    uint64_t bound = 2;
    for (int l = 0; l < level; ++l) bound = InverseReduces(l, bound) ? 2 : 2 * bound;
    return bound;
  }
  static constexpr bool InverseReduces(int, uint64_t bound) {
    return 4 * bound > (kSlack == kTight ? 4 : kSlack == kRoomy ? 8 : 64);
  }
  template <int kLevel>
  KERNEL_INLINE static void Inverse2(T& x, T& y, Twiddle w, const Constants& c, const T* multiple) {
    constexpr uint64_t kBound = InverseBound(kLevel);
    const T d = V::Add(V::Sub(x, y), multiple[kLevel]);
    x = V::Add(x, y);
    if constexpr (InverseReduces(kLevel, kBound)) x = Reduce(x, c);
    y = Product(c.zero, d, w, c, c.zero);
  }
  template <int kLevel, int kLevels, int kDone>
  KERNEL_INLINE static void InverseLevels(T* x, const Twiddle* w, const Constants& c, const T* multiple) {
    if constexpr (kDone < kLevels) {
      constexpr int kHalf = 1 << kDone;
      constexpr int kGroups = 1 << (kLevels - kDone - 1);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 4
        for (int k = 0; k < kHalf; ++k) {
          Inverse2<kLevel + kDone>(x[g * 2 * kHalf + k], x[g * 2 * kHalf + kHalf + k], w[kGroups - 1 + g], c, multiple);
        }
      }
      InverseLevels<kLevel, kLevels, kDone + 1>(x, w, c, multiple);
    }
  }
  // Levels kLevel … kLevel + kLevels - 1, none of them the last.
  template <int kLog, int kLevel, int kLevels>
  static void InversePass(uint64_t* a, const NttView& t, const Constants& c, const T* multiple) {
    constexpr size_t kStep = size_t{1} << kLevel;
    constexpr int kCount = 1 << kLevels;
    constexpr size_t kGroups = size_t{1} << (kLog - kLevel - kLevels);
    for (size_t i = 0; i < kGroups; ++i) {
      Twiddle w[7];
      LoadTwiddles<kLevels>(t.inverse, t.inverse_quotient, kGroups + i, w);
      uint64_t* group = a + i * kStep * kCount;
      for (size_t j = 0; j < kStep; j += L) {
        T x[kCount];
#pragma GCC unroll 8
        for (int k = 0; k < kCount; ++k) x[k] = V::Load(group + j + static_cast<size_t>(k) * kStep);
        InverseLevels<kLevel, kLevels, 0>(x, w, c, multiple);
#pragma GCC unroll 8
        for (int k = 0; k < kCount; ++k) V::Store(group + j + static_cast<size_t>(k) * kStep, x[k]);
      }
    }
  }
  // The last 1 … 3 levels in one pass; the very last also divides by n and gives canonical results.
  template <int kLog, int kLevel, int kLevels>
  static void InverseLast(uint64_t* a, const NttView& t, const Constants& c, const T* multiple) {
    constexpr size_t kStep = size_t{1} << kLevel;
    constexpr int kCount = 1 << kLevels;
    Twiddle w[7];
    LoadTwiddles<kLevels>(t.inverse, t.inverse_quotient, 1, w);
    const Twiddle scale = Broadcast(&t.scale, &t.scale_quotient, 0);
    const Twiddle scaled_root = Broadcast(&t.scaled_root, &t.scaled_root_quotient, 0);
    for (size_t j = 0; j < kStep; j += L) {
      T x[kCount];
#pragma GCC unroll 8
      for (int k = 0; k < kCount; ++k) x[k] = V::Load(a + j + static_cast<size_t>(k) * kStep);
      // Twiddles of the levels before the last sit one level further down the tree.
      InverseLevelsBeforeLast<kLevel, kLevels, 0>(x, w, c, multiple);
#pragma GCC unroll 4
      for (int k = 0; k < kCount / 2; ++k) {
        const T sum = V::Add(x[k], x[k + kCount / 2]);
        const T difference = V::Add(V::Sub(x[k], x[k + kCount / 2]), multiple[kLog - 1]);
        const T u = V::And(Product(c.zero, sum, scale, c, c.zero), c.mask);
        const T v = V::And(Product(c.zero, difference, scaled_root, c, c.zero), c.mask);
        V::Store(a + j + static_cast<size_t>(k) * kStep, V::Min(u, V::Sub(u, c.q)));
        V::Store(a + j + static_cast<size_t>(k + kCount / 2) * kStep, V::Min(v, V::Sub(v, c.q)));
      }
    }
  }
  template <int kLevel, int kLevels, int kDone>
  KERNEL_INLINE static void InverseLevelsBeforeLast(T* x, const Twiddle* w, const Constants& c, const T* multiple) {
    if constexpr (kDone + 1 < kLevels) {
      constexpr int kHalf = 1 << kDone;
      constexpr int kGroups = 1 << (kLevels - kDone - 1);
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 4
        for (int k = 0; k < kHalf; ++k) {
          Inverse2<kLevel + kDone>(x[g * 2 * kHalf + k], x[g * 2 * kHalf + kHalf + k], w[kGroups - 1 + g], c, multiple);
        }
      }
      InverseLevelsBeforeLast<kLevel, kLevels, kDone + 1>(x, w, c, multiple);
    }
  }
  template <int kLog, int kLevel>
  KERNEL_INLINE static void InverseWide(uint64_t* a, const NttView& t, const Constants& c, const T* multiple) {
    constexpr int kLeft = kLog - kLevel;
    if constexpr (kLeft <= 3) {
      InverseLast<kLog, kLevel, kLeft>(a, t, c, multiple);
    } else {
      constexpr int kNow = kLeft % 3 != 0 ? kLeft % 3 : 3;
      InversePass<kLog, kLevel, kNow>(a, t, c, multiple);
      InverseWide<kLog, kLevel + kNow>(a, t, c, multiple);
    }
  }
  template <int kLog>
  static void InverseLog(uint64_t* a, const NttView& t) {
    const Constants c = Set(t);
    T multiple[kLog];
    for (int l = 0; l < kLog; ++l) multiple[l] = V::Set1(InverseBound(l) * t.q);
    constexpr size_t kN = size_t{1} << kLog;
    EachBlock<kLog>(
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          V::LoadOnes(a + 16 * block, x, y);
          const size_t at = kN / 2 + 8 * block;
          Inverse2<0>(x, y, {V::Load(t.inverse + at), V::Load(t.inverse_quotient + at)}, c, multiple);
          V::OnesToTwos(x, y);
        },
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          const size_t at = kN / 4 + 4 * block;
          Inverse2<1>(x, y, {V::Spread2(t.inverse + at), V::Spread2(t.inverse_quotient + at)}, c, multiple);
          V::TwosToFours(x, y);
        },
        [&](T& x, T& y, size_t block) KERNEL_LAMBDA {
          const size_t at = kN / 8 + 2 * block;
          Inverse2<2>(x, y, {V::Spread4(t.inverse + at), V::Spread4(t.inverse_quotient + at)}, c, multiple);
          V::StoreFours(a + 16 * block, x, y);
        });
    InverseWide<kLog, 3>(a, t, c, multiple);
  }

  // Any power of two from 32 to 32768 that V says it is instantiated for.
  static void Forward(uint64_t* a, const uint64_t* in, const NttView& t) { ForwardFrom<5>(a, in, t); }
  template <int kLog>
  static void ForwardFrom(uint64_t* a, const uint64_t* in, const NttView& t) {
    if constexpr (V::HasLog(kLog)) {
      if (t.n == size_t{1} << kLog) return ForwardLog<kLog>(a, in, t);
    }
    if constexpr (kLog < 15) ForwardFrom<kLog + 1>(a, in, t);
  }
  static void Inverse(uint64_t* a, const NttView& t) { InverseFrom<5>(a, t); }
  template <int kLog>
  static void InverseFrom(uint64_t* a, const NttView& t) {
    if constexpr (V::HasLog(kLog)) {
      if (t.n == size_t{1} << kLog) return InverseLog<kLog>(a, t);
    }
    if constexpr (kLog < 15) InverseFrom<kLog + 1>(a, t);
  }
};

}  // namespace alcove::fhe
