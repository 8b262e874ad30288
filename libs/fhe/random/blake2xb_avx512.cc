#include <immintrin.h>

#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/blake2xb_lanes.h"

namespace alcove::fhe::blake2xb {
namespace {

struct Lanes8 {
  using type = __m512i;
  static constexpr uint64_t kLanes = 8;
  static type Set1(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static type Iota() { return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0); }
  static type Add(type a, type b) { return _mm512_add_epi64(a, b); }
  static type Xor(type a, type b) { return _mm512_xor_si512(a, b); }
  template <int kBits>
  static type Ror(type a) {
    return _mm512_ror_epi64(a, kBits);
  }
  // An 8 x 8 transpose of words through scatters: 64 stores per 512 bytes, small beside twelve rounds.
  static void StoreBlocks(uint8_t* out, const type* words) {
    const __m512i offsets = _mm512_set_epi64(448, 384, 320, 256, 192, 128, 64, 0);
    for (int w = 0; w < 8; ++w) _mm512_i64scatter_epi64(out + 8 * w, offsets, words[w], 1);
  }
};

}  // namespace

void ExpandAvx512(const uint64_t* root8, uint8_t* out) { ExpandLanes<Lanes8>(root8, out); }

}  // namespace alcove::fhe::blake2xb
