// The scoring loop for vectors of 32-bit multipliers: words below 2^50 split into 25-bit halves, so that all four
// partial products stay below 2^50 and 2^11 of them add up without overflow (the two middle ones share an accumulator:
// 2^62). V is private to the including file.
#pragma once

#include "libs/fhe/search/mac.h"

namespace alcove::fhe {

template <class V>
[[gnu::always_inline]] inline void MacSplit(const uint64_t* database, const uint64_t* query, size_t dimensions,
                                            uint64_t* low, uint64_t* high) {
  using T = typename V::type;
  constexpr size_t L = V::kLanes;
  const T mask = V::Set1((uint64_t{1} << 25) - 1);
  // Two vectors at a time keep twelve accumulators in registers.
  for (size_t at = 0; at < kTile; at += V::kVectors * L) {
    T ll[2][V::kVectors], mid[2][V::kVectors], hh[2][V::kVectors];
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
      for (size_t v = 0; v < V::kVectors; ++v) ll[p][v] = mid[p][v] = hh[p][v] = V::Set1(0);
    }
    for (size_t d = 0; d < dimensions; ++d) {
#pragma GCC unroll 4
      for (size_t v = 0; v < V::kVectors; ++v) {
        const T x = V::Load(database + d * kTile + at + v * L);
        const T xl = V::And(x, mask);
        const T xh = V::Right25(x);
#pragma GCC unroll 2
        for (size_t p = 0; p < 2; ++p) {
          const T y = V::Load(query + (d * 2 + p) * kTile + at + v * L);
          const T yl = V::And(y, mask);
          const T yh = V::Right25(y);
          ll[p][v] = V::Add(ll[p][v], V::Mul32(xl, yl));
          mid[p][v] = V::Add(V::Add(mid[p][v], V::Mul32(xl, yh)), V::Mul32(xh, yl));
          hh[p][v] = V::Add(hh[p][v], V::Mul32(xh, yh));
        }
      }
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
      for (size_t v = 0; v < V::kVectors; ++v) {
        alignas(64) uint64_t a[L], b[L], c[L];
        V::Store(a, ll[p][v]);
        V::Store(b, mid[p][v]);
        V::Store(c, hh[p][v]);
        for (size_t i = 0; i < L; ++i) {
          const unsigned __int128 sum =
              a[i] + (static_cast<unsigned __int128>(b[i]) << 25) + (static_cast<unsigned __int128>(c[i]) << 50);
          low[p * kTile + at + v * L + i] = static_cast<uint64_t>(sum);
          high[p * kTile + at + v * L + i] = static_cast<uint64_t>(sum >> 64);
        }
      }
    }
  }
}

// The same with 52-bit fused multiply-adds: low and high halves of every product in accumulators of their own, 2^11
// terms stay below 2^63. Four instructions for a vector of positions and both polynomials, beside one load of database
// and two of query.
template <class V>
[[gnu::always_inline]] inline void Mac52(const uint64_t* database, const uint64_t* query, size_t dimensions,
                                         uint64_t* low, uint64_t* high) {
  using T = typename V::type;
  constexpr size_t L = V::kLanes;
  constexpr size_t kVectors = kTile / L;
  T lo[2][kVectors], hi[2][kVectors];
#pragma GCC unroll 2
  for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) lo[p][v] = hi[p][v] = V::Set1(0);
  }
  for (size_t d = 0; d < dimensions; ++d) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      const T x = V::Load(database + d * kTile + v * L);
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; ++p) {
        const T y = V::Load(query + (d * 2 + p) * kTile + v * L);
        lo[p][v] = V::Madd52Low(lo[p][v], x, y);
        hi[p][v] = V::Madd52High(hi[p][v], x, y);
      }
    }
  }
#pragma GCC unroll 2
  for (size_t p = 0; p < 2; ++p) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      alignas(64) uint64_t a[L], b[L];
      V::Store(a, lo[p][v]);
      V::Store(b, hi[p][v]);
      for (size_t i = 0; i < L; ++i) {
        const unsigned __int128 sum = a[i] + (static_cast<unsigned __int128>(b[i]) << 52);
        low[p * kTile + v * L + i] = static_cast<uint64_t>(sum);
        high[p * kTile + v * L + i] = static_cast<uint64_t>(sum >> 64);
      }
    }
  }
}

}  // namespace alcove::fhe
