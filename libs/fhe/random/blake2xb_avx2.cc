#include <immintrin.h>

#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {
namespace {

struct Lanes4 {
  using type = __m256i;
  static constexpr uint64_t kLanes = 4;
  static type Set1(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static type Iota() { return _mm256_set_epi64x(3, 2, 1, 0); }
  static type Add(type a, type b) { return _mm256_add_epi64(a, b); }
  static type Xor(type a, type b) { return _mm256_xor_si256(a, b); }
  static type Xor3(type a, type b, type c) { return Xor(a, Xor(b, c)); }
  template <int kBits>
  static type Ror(type a) {
    return _mm256_or_si256(_mm256_srli_epi64(a, kBits), _mm256_slli_epi64(a, 64 - kBits));
  }
  static void StoreBlocks(uint8_t* out, const type* words) {
    alignas(32) uint64_t lanes[8][4];
    for (int w = 0; w < 8; ++w) _mm256_store_si256(reinterpret_cast<__m256i*>(lanes[w]), words[w]);
    uint64_t* to = reinterpret_cast<uint64_t*>(out);
    for (int l = 0; l < 4; ++l) {
      for (int w = 0; w < 8; ++w) __builtin_memcpy(to + 8 * l + w, &lanes[w][l], 8);
    }
  }
};

}  // namespace

void BlocksAvx2(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out) {
  Lanes<Lanes4>::Blocks(keyed_state8, counter, count, out);
}

}  // namespace alcove::fhe::blake2xb
