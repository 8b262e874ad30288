// The scoring loops over a vector policy V, which is private to the including file.
#pragma once

#include "libs/fhe/search/mac.h"

namespace alcove::fhe {

// For vectors of 32-bit multipliers: words below 2^50 split into 25-bit halves. Products of lower halves, of upper
// halves and of the sums of both (Karatsuba and Ofman 1962) stay below 2^50, 2^50 and 2^52, so that 2^11 of them add up
// without overflow; the middle products are the last less the others, once a sum.
template <class V>
struct MacSplit {
  using T = typename V::type;
  static constexpr size_t L = V::kLanes;

  static void One(const uint64_t* database, const uint64_t* query, size_t terms, uint64_t* acc, const uint64_t* ahead,
                  size_t fetched) {
    const T mask = V::Set1((uint64_t{1} << 25) - 1);
    const T lower27 = V::Set1((uint64_t{1} << 27) - 1), three = V::Set1(3);
    for (size_t at = 0; at < kTile; at += V::kVectors * L) {
      T ll[2][V::kVectors], both[2][V::kVectors], hh[2][V::kVectors];
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
        for (size_t v = 0; v < V::kVectors; ++v) ll[p][v] = both[p][v] = hh[p][v] = V::Set1(0);
      }
      const auto term = [&](size_t d) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (size_t v = 0; v < V::kVectors; ++v) {
          const T x = V::Load(database + d * kTile + at + v * L);
          const T xl = V::And(x, mask);
          const T xh = V::template Right<25>(x);
          const T xs = V::Add(xl, xh);
#pragma GCC unroll 2
          for (size_t p = 0; p < 2; ++p) {
            const T y = V::Load(query + (d * 2 + p) * kTile + at + v * L);
            const T yl = V::And(y, mask);
            const T yh = V::template Right<25>(y);
            ll[p][v] = V::Add(ll[p][v], V::Mul32(xl, yl));
            both[p][v] = V::Add(both[p][v], V::Mul32(xs, V::Add(yl, yh)));
            hh[p][v] = V::Add(hh[p][v], V::Mul32(xh, yh));
          }
        }
      };
      const size_t early = at == 0 ? fetched : 0;
      for (size_t d = 0; d < early; ++d) {
        V::Prefetch(ahead + d * kTile);
        term(d);
      }
      for (size_t d = early; d < terms; ++d) term(d);
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
        for (size_t v = 0; v < V::kVectors; ++v) {
          const T mid = V::Sub(both[p][v], V::Add(ll[p][v], hh[p][v]));
          uint64_t* low = acc + 2 * p * kTile + at + v * L;
          uint64_t* high = low + kTile;
          // ll + 2^25 mid + 2^50 hh as low + 2^52 high.
          const T part =
              V::Add(V::template Left<25>(V::And(mid, lower27)), V::template Left<50>(V::And(hh[p][v], three)));
          V::Store(low, V::Add(V::Load(low), V::Add(ll[p][v], part)));
          V::Store(high, V::Add(V::Load(high), V::Add(V::template Right<27>(mid), V::template Right<2>(hh[p][v]))));
        }
      }
    }
  }
  static void Accumulate(const uint64_t* const* database, size_t blocks, const uint64_t* query, size_t terms,
                         uint64_t* const* acc, const MacAhead& ahead) {
    const size_t fetched = ahead.terms < terms ? ahead.terms : terms;
    for (size_t b = 0; b < blocks; ++b) {
      const bool fetch = b < ahead.blocks;
      One(database[b], query, terms, acc[b], fetch ? ahead.database[b] : nullptr, fetch ? fetched : 0);
    }
  }
};

// With 52-bit multiply-adds: low and high halves of every product in accumulators of their own, 2^11 terms stay below
// 2^63.
template <class V>
struct Mac52 {
  using T = typename V::type;
  static constexpr size_t L = V::kLanes;
  static_assert(kTile == L);

  template <size_t kBlocks>
  static void Some(const uint64_t* const* database, const uint64_t* query, size_t terms, uint64_t* const* acc,
                   const MacAhead& ahead) {
    // Low and high halves for either polynomial: 16 registers for four blocks.
    T lo[kBlocks][2], hi[kBlocks][2];
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; ++p) {
        lo[b][p] = V::Load(acc[b] + 2 * p * kTile);
        hi[b][p] = V::Load(acc[b] + (2 * p + 1) * kTile);
      }
    }
    const uint64_t* from[kBlocks];
    for (size_t b = 0; b < kBlocks; ++b) from[b] = database[b];
    const auto term = [&](size_t d) __attribute__((always_inline)) {
      const T y0 = V::Load(query + d * 2 * kTile);
      const T y1 = V::Load(query + (d * 2 + 1) * kTile);
#pragma GCC unroll 4
      for (size_t b = 0; b < kBlocks; ++b) {
        const T x = V::Load(from[b] + d * kTile);
        lo[b][0] = V::MaddLo(lo[b][0], x, y0);
        hi[b][0] = V::MaddHi(hi[b][0], x, y0);
        lo[b][1] = V::MaddLo(lo[b][1], x, y1);
        hi[b][1] = V::MaddHi(hi[b][1], x, y1);
      }
    };
    const size_t fetched = ahead.terms < terms ? ahead.terms : terms;
    for (size_t d = 0; d < fetched; ++d) {
      for (size_t b = 0; b < ahead.blocks; ++b) V::Prefetch(ahead.database[b] + d * kTile);
      term(d);
    }
    for (size_t d = fetched; d < terms; ++d) term(d);
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; ++b) {
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; ++p) {
        V::Store(acc[b] + 2 * p * kTile, lo[b][p]);
        V::Store(acc[b] + (2 * p + 1) * kTile, hi[b][p]);
      }
    }
  }
  static void Accumulate(const uint64_t* const* database, size_t blocks, const uint64_t* query, size_t terms,
                         uint64_t* const* acc, const MacAhead& ahead) {
    static_assert(kMacBlocks == 4);
    switch (blocks) {
      case 4: return Some<4>(database, query, terms, acc, ahead);
      case 3: return Some<3>(database, query, terms, acc, ahead);
      case 2: return Some<2>(database, query, terms, acc, ahead);
      default: return Some<1>(database, query, terms, acc, ahead);
    }
  }

  // low + 2^52 high with both below 2^63 + 2^12, modulo q < 2^50: three words of 52, 52 and 12 bits, the upper two
  // times powers of 2^52.
  static void Reduce(const uint64_t* acc, const MacModulus& m, uint64_t* out0, uint64_t* out1) {
    constexpr uint64_t kMask = (uint64_t{1} << 52) - 1;
    const T mask = V::Set1(kMask), zero = V::Set1(0), q = V::Set1(m.q), minus_q = V::Set1(kMask + 1 - m.q);
    const T r52 = V::Set1(m.r52), r52q = V::Set1(m.r52_quotient), r104 = V::Set1(m.r104);
    const T r104q = V::Set1(m.r104_quotient), barrett = V::Set1(m.barrett);
    const auto below = [&](T x) { return V::Min(x, V::Sub(x, q)); };
    const auto product = [&](T x, T w, T wq) {
      const T estimate = V::MaddHi(zero, x, wq);
      return below(V::And(V::MaddLo(V::MaddLo(zero, x, w), estimate, minus_q), mask));
    };
    for (size_t p = 0; p < 2; ++p) {
      for (size_t v = 0; v < kTile; v += L) {
        const T lo = V::Load(acc + 2 * p * kTile + v);
        const T hi = V::Add(V::Load(acc + (2 * p + 1) * kTile + v), V::Right52(lo));
        const T low = V::MaddLo(lo, V::MaddHi(zero, lo, barrett), minus_q);
        const T a = V::Add(below(V::And(low, mask)), product(hi, r52, r52q));
        const T sum = V::Add(below(a), product(V::Right52(hi), r104, r104q));
        V::Stream((p == 0 ? out0 : out1) + v, below(sum));
      }
    }
  }
};

}  // namespace alcove::fhe
