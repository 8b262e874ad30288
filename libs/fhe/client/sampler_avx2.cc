#include <immintrin.h>

#include "libs/fhe/client/binomial.h"

namespace alcove::fhe {

// Heads less tails are heads and missing tails, less 21: one count of 42 bits. Bytes are counted by their halves in a
// table (Mula, "Faster population counts", 2018), and lanes added up.
void CentredBinomialAvx2(const uint8_t* bytes, int8_t* out, size_t count) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_set_epi8(4, 3, 3, 2, 3, 2, 2, 1, 3, 2, 2, 1, 2, 1, 1, 0));
  const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
  const __m256i used = _mm256_set1_epi64x((1LL << 42) - 1);
  const __m256i tails = _mm256_set1_epi64x(((1LL << 21) - 1) << 21);
  const __m256i all = _mm256_set1_epi8(21);
  const auto load = [&](size_t sample) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + kBinomialBytes * sample));
  };
  // Eight samples to a lane, each in its own byte.
  for (size_t i = 0; i < count; i += 32) {
    __m256i sums = zero;
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) {
      const __m128i low = _mm_unpacklo_epi64(load(i + k), load(i + 8 + k));
      const __m128i high = _mm_unpacklo_epi64(load(i + 16 + k), load(i + 24 + k));
      const __m256i four = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
      const __m256i x = _mm256_and_si256(_mm256_xor_si256(four, tails), used);
      const __m256i ones =
          _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble)),
                          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi64(x, 4), nibble)));
      sums = _mm256_or_si256(sums, _mm256_slli_epi64(_mm256_sad_epu8(ones, zero), static_cast<int>(8 * k)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_sub_epi8(sums, all));
  }
}

}  // namespace alcove::fhe
