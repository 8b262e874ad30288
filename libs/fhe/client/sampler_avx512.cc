#include <immintrin.h>

#include "libs/fhe/client/binomial.h"

namespace alcove::fhe {

void CentredBinomialAvx512(const uint64_t* words, int8_t* out, size_t count) {
  const __m512i mask = _mm512_set1_epi64((1 << 21) - 1);
  for (size_t i = 0; i < count; i += 8) {
    const __m512i x = _mm512_loadu_si512(words + i);
    const __m512i heads = _mm512_popcnt_epi64(_mm512_and_si512(x, mask));
    const __m512i tails = _mm512_popcnt_epi64(_mm512_and_si512(_mm512_srli_epi64(x, 21), mask));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm512_cvtepi64_epi8(_mm512_sub_epi64(heads, tails)));
  }
}

}  // namespace alcove::fhe
