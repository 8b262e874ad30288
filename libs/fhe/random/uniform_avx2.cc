#include <immintrin.h>

#include "libs/fhe/random/uniform.h"

namespace alcove::fhe::uniform {
namespace {

__m256i LoadWords(const uint64_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
// Unsigned comparison, which AVX2 lacks, is signed comparison with the top bits turned over.
__m256i Larger(__m256i flipped_a, __m256i flipped_b) {
  return _mm256_blendv_epi8(flipped_a, flipped_b, _mm256_cmpgt_epi64(flipped_b, flipped_a));
}
uint64_t LargestOf(__m256i flipped) {
  uint64_t lanes[4], out = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), flipped);
  for (uint64_t lane : lanes) {
    const uint64_t x = lane ^ (uint64_t{1} << 63);
    out = x > out ? x : out;
  }
  return out;
}

uint64_t Largest(const uint64_t* words, size_t n) {
  const __m256i top = _mm256_set1_epi64x(static_cast<long long>(uint64_t{1} << 63));
  __m256i most[2] = {top, top};
  for (size_t i = 0; i < n; i += 8) {
    most[0] = Larger(most[0], _mm256_xor_si256(LoadWords(words + i), top));
    most[1] = Larger(most[1], _mm256_xor_si256(LoadWords(words + i + 4), top));
  }
  return LargestOf(Larger(most[0], most[1]));
}

// Through doubles. x = 2^32 h + l, both halves exact; e is their rounded sum times the rounded 1/q, rounded: within 1/2
// + 3 * 2^11 / q of x / q (three roundings of at most 2^-53 each), so for q >= 2^14 less than one away. 2^32 h - e q is
// an integer below 2^32 + q, exact with one rounding, and with l it is in (-q, q).
uint64_t Reduce(uint64_t* words, size_t n, const Divisor& d) {
  const __m256i top = _mm256_set1_epi64x(static_cast<long long>(uint64_t{1} << 63));
  const __m256d q = _mm256_set1_pd(static_cast<double>(d.q)), inverse = _mm256_set1_pd(1.0 / static_cast<double>(d.q));
  const __m256d magic = _mm256_set1_pd(0x1.8p52);
  // Doubles whose low 32 bits count ones and units of 2^32.
  const __m256d ones = _mm256_set1_pd(0x1p52), large = _mm256_set1_pd(0x1p84);
  __m256i most[2] = {top, top};
  const auto four = [&](uint64_t * p, __m256i & largest) __attribute__((always_inline)) {
    const __m256i x = LoadWords(p);
    largest = Larger(largest, _mm256_xor_si256(x, top));
    const __m256i low = _mm256_blend_epi32(_mm256_castpd_si256(ones), x, 0x55);
    const __m256i high = _mm256_or_si256(_mm256_srli_epi64(x, 32), _mm256_castpd_si256(large));
    const __m256d l = _mm256_sub_pd(_mm256_castsi256_pd(low), ones);
    const __m256d h = _mm256_sub_pd(_mm256_castsi256_pd(high), large);
    const __m256d e = _mm256_sub_pd(_mm256_fmadd_pd(_mm256_add_pd(h, l), inverse, magic), magic);
    const __m256d r = _mm256_add_pd(_mm256_fnmadd_pd(e, q, h), l);
    const __m256d residue = _mm256_blendv_pd(r, _mm256_add_pd(r, q), r);
    _mm256_storeu_pd(reinterpret_cast<double*>(p), _mm256_xor_pd(_mm256_add_pd(residue, ones), ones));
  };
  for (size_t i = 0; i < n; i += 8) {
    four(words + i, most[0]);
    four(words + i + 4, most[1]);
  }
  return LargestOf(Larger(most[0], most[1]));
}

}  // namespace

const Kernels kAvx2 = {&Largest, &Reduce};

}  // namespace alcove::fhe::uniform
