#include <immintrin.h>

#include "libs/fhe/client/binomial.h"

namespace alcove::fhe {

void CentredBinomialAvx512(const uint8_t* bytes, int8_t* out, size_t count) {
  const __m512i mask = _mm512_set1_epi64((1 << 21) - 1);
  // Three 16-bit words of 48 bytes to each lane.
  const __m512i spread = _mm512_set_epi16(0, 23, 22, 21, 0, 20, 19, 18, 0, 17, 16, 15, 0, 14, 13, 12, 0, 11, 10, 9, 0,
                                          8, 7, 6, 0, 5, 4, 3, 0, 2, 1, 0);
  for (size_t i = 0; i < count; i += 8) {
    const __m512i x = _mm512_permutexvar_epi16(spread, _mm512_loadu_si512(bytes + kBinomialBytes * i));
    const __m512i heads = _mm512_popcnt_epi64(_mm512_and_si512(x, mask));
    const __m512i tails = _mm512_popcnt_epi64(_mm512_and_si512(_mm512_srli_epi64(x, 21), mask));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm512_cvtepi64_epi8(_mm512_sub_epi64(heads, tails)));
  }
}

}  // namespace alcove::fhe
