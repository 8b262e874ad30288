#include <immintrin.h>

#include "libs/fhe/random/shake256.h"

namespace alcove::fhe {
namespace {

constexpr uint64_t kRoundConstants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

constexpr int kRateWords = 17;  // 136 bytes
constexpr int kBlockWords = 512;

// Rho offsets of word x + 5 y.
constexpr int kRotate[25] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                             25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};

template <int kWord>
[[gnu::always_inline]] inline void RhoPi(const __m512i* a, __m512i* b) {
  if constexpr (kWord < 25) {
    constexpr int x = kWord % 5, y = kWord / 5;
    b[y + 5 * ((2 * x + 3 * y) % 5)] = _mm512_rol_epi64(a[kWord], kRotate[kWord]);
    RhoPi<kWord + 1>(a, b);
  }
}

// Keccak-f[1600] on eight states.
void Permute(__m512i* a) {
  for (uint64_t constant : kRoundConstants) {
    __m512i c[5], b[25];
#pragma GCC unroll 5
    for (int x = 0; x < 5; ++x) {
      const __m512i three = _mm512_ternarylogic_epi64(a[x], a[x + 5], a[x + 10], 0x96);
      c[x] = _mm512_ternarylogic_epi64(three, a[x + 15], a[x + 20], 0x96);
    }
#pragma GCC unroll 5
    for (int x = 0; x < 5; ++x) {
      const __m512i left = c[(x + 4) % 5];
      const __m512i right = _mm512_rol_epi64(c[(x + 1) % 5], 1);
#pragma GCC unroll 5
      for (int y = 0; y < 25; y += 5) a[x + y] = _mm512_ternarylogic_epi64(a[x + y], left, right, 0x96);
    }
    RhoPi<0>(a, b);
#pragma GCC unroll 5
    for (int y = 0; y < 25; y += 5) {
#pragma GCC unroll 5
      for (int x = 0; x < 5; ++x) {
        // a ^ (~b & c)
        a[x + y] = _mm512_ternarylogic_epi64(b[x + y], b[(x + 1) % 5 + y], b[(x + 2) % 5 + y], 0xD2);
      }
    }
    a[0] = _mm512_xor_si512(a[0], _mm512_set1_epi64(static_cast<long long>(constant)));
  }
}

}  // namespace

void Shake256EightBlocksAvx512(const uint8_t* seed, uint64_t counter, uint8_t* out) {
  __m512i state[25];
  for (int i = 0; i < 8; ++i) {
    long long word;
    __builtin_memcpy(&word, seed + 8 * i, 8);
    state[i] = _mm512_set1_epi64(word);
  }
  state[8] =
      _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(counter)), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  state[9] = _mm512_set1_epi64(0x1f);  // the padding's first byte, after 72 bytes of message
  for (int i = 10; i < 25; ++i) state[i] = _mm512_setzero_si512();
  state[16] = _mm512_set1_epi64(static_cast<long long>(0x8000000000000000));
  const __m512i lanes = _mm512_set_epi64(7 * 4096, 6 * 4096, 5 * 4096, 4 * 4096, 3 * 4096, 2 * 4096, 4096, 0);
  for (int done = 0; done < kBlockWords; done += kRateWords) {
    Permute(state);
    const int now = kBlockWords - done < kRateWords ? kBlockWords - done : kRateWords;
    for (int i = 0; i < now; ++i) _mm512_i64scatter_epi64(out + 8 * (done + i), lanes, state[i], 1);
  }
}

}  // namespace alcove::fhe
