#include <immintrin.h>

#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {
namespace {

struct Order {
  alignas(32) uint8_t from[32];
};
// Byte i of a word rotated right by k bytes is its byte i + k.
constexpr Order RotateBytes(unsigned k) {
  Order out{};
  for (unsigned i = 0; i < 32; ++i) out.from[i] = static_cast<uint8_t>(i % 16 / 8 * 8 + (i + k) % 8);
  return out;
}
constexpr Order kTwoBytes = RotateBytes(2), kThreeBytes = RotateBytes(3);

struct Lanes4 {
  using type = __m256i;
  static constexpr uint64_t kLanes = 4;
  static constexpr int kLockStep = 2;
  static type Set1(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static type Iota() { return _mm256_set_epi64x(3, 2, 1, 0); }
  static type Add(type a, type b) { return _mm256_add_epi64(a, b); }
  static type Xor(type a, type b) { return _mm256_xor_si256(a, b); }
  static type Xor3(type a, type b, type c) { return Xor(a, Xor(b, c)); }
  // One shuffle where whole bytes move, instead of two shifts and their union; by 63, twice the word and its top bit.
  template <int kBits>
  static type Ror(type a) {
    if constexpr (kBits == 32) {
      return _mm256_shuffle_epi32(a, 0xB1);
    } else if constexpr (kBits == 63) {
      return Xor(_mm256_srli_epi64(a, 63), Add(a, a));
    } else {
      static_assert(kBits == 24 || kBits == 16);
      // The order stays in memory: with sixteen working words there is no register left for it.
      asm("vpshufb %1, %0, %0" : "+x"(a) : "m"(kBits == 24 ? kThreeBytes : kTwoBytes));
      return a;
    }
  }
  // Two 4 x 4 transposes of words: pairs of words, then halves.
  static void StoreBlocks(uint8_t* out, const type* words) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const type* w = words + 4 * half;
      const type even0 = _mm256_unpacklo_epi64(w[0], w[1]), odd0 = _mm256_unpackhi_epi64(w[0], w[1]);
      const type even1 = _mm256_unpacklo_epi64(w[2], w[3]), odd1 = _mm256_unpackhi_epi64(w[2], w[3]);
      const type rows[4] = {_mm256_permute2x128_si256(even0, even1, 0x20), _mm256_permute2x128_si256(odd0, odd1, 0x20),
                            _mm256_permute2x128_si256(even0, even1, 0x31), _mm256_permute2x128_si256(odd0, odd1, 0x31)};
#pragma GCC unroll 4
      for (int l = 0; l < 4; ++l) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 * l + 32 * half), rows[l]);
      }
    }
  }
};

}  // namespace

void BlocksAvx2(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out) {
  Lanes<Lanes4>::Blocks(keyed_state8, counter, count, out);
}

}  // namespace alcove::fhe::blake2xb
