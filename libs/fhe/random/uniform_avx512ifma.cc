#include <immintrin.h>

#include "libs/fhe/random/uniform.h"

namespace alcove::fhe::uniform {
namespace {

uint64_t Largest(const uint64_t* words, size_t n) {
  // Four maxima side by side: the instruction takes three cycles.
  __m512i most[4] = {};
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (size_t k = 0; k < 4; ++k) most[k] = _mm512_max_epu64(most[k], _mm512_loadu_si512(words + i + 8 * k));
  }
  for (; i < n; i += 8) most[0] = _mm512_max_epu64(most[0], _mm512_loadu_si512(words + i));
  return _mm512_reduce_max_epu64(
      _mm512_max_epu64(_mm512_max_epu64(most[0], most[1]), _mm512_max_epu64(most[2], most[3])));
}

// With x = 2^12 h + l and ratio52 = floor(2^(51 + b) / q), q of b bits: the high 52 bits of h * ratio52, shifted right
// by b - 13, fall short of x / q by less than four (l, the floor of the ratio times h < 2^52, and the two floors of the
// product: 2^12 / q + 2^(13 - b) + 1 + 1), so the remainder is below 4q <= 2^52 and its low 52 bits are all of it.
uint64_t Reduce(uint64_t* words, size_t n, const Divisor& d) {
  const __m512i q = _mm512_set1_epi64(static_cast<long long>(d.q));
  const __m512i q2 = _mm512_add_epi64(q, q);
  const __m512i minus_q = _mm512_set1_epi64(static_cast<long long>((uint64_t{1} << 52) - d.q));
  const __m512i ratio = _mm512_set1_epi64(static_cast<long long>(d.ratio52));
  const __m512i mask = _mm512_set1_epi64((1LL << 52) - 1);
  const __m512i zero = _mm512_setzero_si512();
  const __m128i shift = _mm_cvtsi32_si128(d.bits - 13);
  // The instruction takes three cycles, less than the rest.
  __m512i most = zero;
  for (size_t i = 0; i < n; i += 8) {
    const __m512i x = _mm512_loadu_si512(words + i);
    most = _mm512_max_epu64(most, x);
    const __m512i estimate = _mm512_srl_epi64(_mm512_madd52hi_epu64(zero, _mm512_srli_epi64(x, 12), ratio), shift);
    __m512i r = _mm512_and_si512(_mm512_madd52lo_epu64(x, estimate, minus_q), mask);
    r = _mm512_min_epu64(r, _mm512_sub_epi64(r, q2));
    _mm512_storeu_si512(words + i, _mm512_min_epu64(r, _mm512_sub_epi64(r, q)));
  }
  return _mm512_reduce_max_epu64(most);
}

}  // namespace

const Kernels kAvx512Ifma = {&Largest, &Reduce};

}  // namespace alcove::fhe::uniform
