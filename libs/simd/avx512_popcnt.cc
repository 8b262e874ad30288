// AVX-512 VPOPCNTDQ: 512 code bits an instruction.
#include <immintrin.h>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

void DotU1Rows(const uint8_t* planes, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t bytes = n / 8;
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    __m512i sum = _mm512_setzero_si512();
    for (size_t b = 0; b < bytes; b += 64) {
      const __mmask8 rest = bytes - b < 64 ? static_cast<__mmask8>((1u << ((bytes - b) / 8)) - 1) : 0xff;
      const __m512i c = _mm512_maskz_loadu_epi64(rest, code + b);
      for (size_t p = 0; p < 4; ++p) {
        const __m512i q = _mm512_maskz_loadu_epi64(rest, planes + p * bytes + b);
        const __m512i bits = _mm512_popcnt_epi64(_mm512_and_si512(c, q));
        const __m512i weighted = _mm512_slli_epi64(bits, static_cast<unsigned>(p));
        sum = p == 3 ? _mm512_sub_epi64(sum, weighted) : _mm512_add_epi64(sum, weighted);
      }
    }
    out[j] = static_cast<int32_t>(_mm512_reduce_add_epi64(sum));
  }
}

}  // namespace

void FillAvx512Popcnt(Kernels& t) { t.dot_u1_rows = DotU1Rows; }

}  // namespace alcove::simd
