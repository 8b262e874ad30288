#include <immintrin.h>

#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {
namespace {

struct Lanes8 {
  using type = __m512i;
  static constexpr uint64_t kLanes = 8;
  static constexpr int kLockStep = 4;
  static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static type Iota() { return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0); }
  static type Add(type a, type b) { return _mm512_add_epi64(a, b); }
  static type Xor(type a, type b) { return _mm512_xor_si512(a, b); }
  static type Xor3(type a, type b, type c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  template <int kBits>
  static type Ror(type a) {
    return _mm512_ror_epi64(a, kBits);
  }
  // An 8 x 8 transpose of words: pairs of words, then pairs of pairs, then halves; 24 shuffles per 512 bytes.
  static void StoreBlocks(uint8_t* out, const type* w) {
    type pair[8], four[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      pair[i] = _mm512_unpacklo_epi64(w[2 * i], w[2 * i + 1]);      // words 2i, 2i+1 of lanes 0 2 4 6
      pair[4 + i] = _mm512_unpackhi_epi64(w[2 * i], w[2 * i + 1]);  // of lanes 1 3 5 7
    }
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      const type* p = pair + 4 * odd;
      type* f = four + 4 * odd;
      f[0] = _mm512_shuffle_i64x2(p[0], p[1], 0x88);  // words 0 1 of lanes 0 4, words 2 3 of lanes 0 4
      f[1] = _mm512_shuffle_i64x2(p[0], p[1], 0xDD);  // the same of lanes 2 6
      f[2] = _mm512_shuffle_i64x2(p[2], p[3], 0x88);  // words 4 to 7
      f[3] = _mm512_shuffle_i64x2(p[2], p[3], 0xDD);
      _mm512_storeu_si512(out + 64 * (0 + odd), _mm512_shuffle_i64x2(f[0], f[2], 0x88));
      _mm512_storeu_si512(out + 64 * (4 + odd), _mm512_shuffle_i64x2(f[0], f[2], 0xDD));
      _mm512_storeu_si512(out + 64 * (2 + odd), _mm512_shuffle_i64x2(f[1], f[3], 0x88));
      _mm512_storeu_si512(out + 64 * (6 + odd), _mm512_shuffle_i64x2(f[1], f[3], 0xDD));
    }
  }
};

}  // namespace

void BlocksAvx512(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out) {
  Lanes<Lanes8>::Blocks(keyed_state8, counter, count, out);
}

}  // namespace alcove::fhe::blake2xb
