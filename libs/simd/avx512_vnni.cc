// AVX-512 VNNI: 64 multiply-adds of bytes an instruction. Rows are taken four at a time, so that each part of the query
// is loaded once for four codes and the four sums are reduced together. Limit: one 64-byte load of codes a cycle from
// L1, or the memory's bandwidth.
#include <immintrin.h>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

// The sums of four registers, as four integers.
__m128i Sum4(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

__mmask64 First(size_t n) { return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1; }

__m512i Load(const void* p) { return _mm512_loadu_si512(p); }

void DotU8Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t whole = n / 64 * 64;
  const __mmask64 rest = First(n - whole);
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const uint8_t* c0 = base + ids[j] * stride;
    const uint8_t* c1 = base + ids[j + 1] * stride;
    const uint8_t* c2 = base + ids[j + 2] * stride;
    const uint8_t* c3 = base + ids[j + 3] * stride;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < whole; i += 64) {
      const __m512i v = Load(q + i);
      s0 = _mm512_dpbusd_epi32(s0, Load(c0 + i), v);
      s1 = _mm512_dpbusd_epi32(s1, Load(c1 + i), v);
      s2 = _mm512_dpbusd_epi32(s2, Load(c2 + i), v);
      s3 = _mm512_dpbusd_epi32(s3, Load(c3 + i), v);
    }
    if (rest != 0) {
      const __m512i v = _mm512_maskz_loadu_epi8(rest, q + whole);
      s0 = _mm512_dpbusd_epi32(s0, _mm512_maskz_loadu_epi8(rest, c0 + whole), v);
      s1 = _mm512_dpbusd_epi32(s1, _mm512_maskz_loadu_epi8(rest, c1 + whole), v);
      s2 = _mm512_dpbusd_epi32(s2, _mm512_maskz_loadu_epi8(rest, c2 + whole), v);
      s3 = _mm512_dpbusd_epi32(s3, _mm512_maskz_loadu_epi8(rest, c3 + whole), v);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + j), Sum4(s0, s1, s2, s3));
  }
  for (; j < count; ++j) {
    const uint8_t* c = base + ids[j] * stride;
    __m512i s = _mm512_setzero_si512();
    for (size_t i = 0; i < whole; i += 64) s = _mm512_dpbusd_epi32(s, Load(c + i), Load(q + i));
    if (rest != 0) {
      s = _mm512_dpbusd_epi32(s, _mm512_maskz_loadu_epi8(rest, c + whole), _mm512_maskz_loadu_epi8(rest, q + whole));
    }
    out[j] = _mm512_reduce_add_epi32(s);
  }
}

__m512i AddU4(__m512i sum, __m512i codes, __m512i q_low, __m512i q_high) {
  const __m512i nibble = _mm512_set1_epi8(15);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(codes, nibble), q_low);
  return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble), q_high);
}

// With kBlocks > 0 the length is known, the loop is unrolled and the query stays in registers.
template <size_t kBlocks>
void DotU4RowsOf(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                 int32_t* out) {
  const size_t half = n / 2;
  const size_t blocks = kBlocks > 0 ? kBlocks : half / 64;
  const bool rest = kBlocks == 0 && half % 64 != 0;
  const __mmask64 mask = 0xffffffffu;
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const uint8_t* c0 = base + ids[j] * stride;
    const uint8_t* c1 = base + ids[j + 1] * stride;
    const uint8_t* c2 = base + ids[j + 2] * stride;
    const uint8_t* c3 = base + ids[j + 3] * stride;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t k = 0; k < blocks; ++k) {
      const __m512i v0 = Load(q + 64 * k), v1 = Load(q + half + 64 * k);
      s0 = AddU4(s0, Load(c0 + 64 * k), v0, v1);
      s1 = AddU4(s1, Load(c1 + 64 * k), v0, v1);
      s2 = AddU4(s2, Load(c2 + 64 * k), v0, v1);
      s3 = AddU4(s3, Load(c3 + 64 * k), v0, v1);
    }
    if (rest) {
      const size_t at = 64 * blocks;
      const __m512i v0 = _mm512_maskz_loadu_epi8(mask, q + at), v1 = _mm512_maskz_loadu_epi8(mask, q + half + at);
      s0 = AddU4(s0, _mm512_maskz_loadu_epi8(mask, c0 + at), v0, v1);
      s1 = AddU4(s1, _mm512_maskz_loadu_epi8(mask, c1 + at), v0, v1);
      s2 = AddU4(s2, _mm512_maskz_loadu_epi8(mask, c2 + at), v0, v1);
      s3 = AddU4(s3, _mm512_maskz_loadu_epi8(mask, c3 + at), v0, v1);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + j), Sum4(s0, s1, s2, s3));
  }
  for (; j < count; ++j) {
    const uint8_t* c = base + ids[j] * stride;
    __m512i s = _mm512_setzero_si512();
    for (size_t k = 0; k < blocks; ++k) s = AddU4(s, Load(c + 64 * k), Load(q + 64 * k), Load(q + half + 64 * k));
    if (rest) {
      const size_t at = 64 * blocks;
      s = AddU4(s, _mm512_maskz_loadu_epi8(mask, c + at), _mm512_maskz_loadu_epi8(mask, q + at),
                _mm512_maskz_loadu_epi8(mask, q + half + at));
    }
    out[j] = _mm512_reduce_add_epi32(s);
  }
}

void DotU4Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  switch (n) {
    case 128: return DotU4RowsOf<1>(q, n, base, stride, ids, count, out);
    case 256: return DotU4RowsOf<2>(q, n, base, stride, ids, count, out);
    case 384: return DotU4RowsOf<3>(q, n, base, stride, ids, count, out);
    case 768: return DotU4RowsOf<6>(q, n, base, stride, ids, count, out);
    default: return DotU4RowsOf<0>(q, n, base, stride, ids, count, out);
  }
}

__m512i AddU2(__m512i sum, __m512i codes, const __m512i* q) {
  const __m512i two = _mm512_set1_epi8(3);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(codes, two), q[0]);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(codes, 2), two), q[1]);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(codes, 4), two), q[2]);
  return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(codes, 6), two), q[3]);
}

void DotU2Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t quarter = n / 4;
  __m512i sums[4];
  for (size_t j = 0; j < count; j += 4) {
    const size_t most = count - j < 4 ? count - j : 4;
    const uint8_t* c[4];
    for (size_t k = 0; k < 4; ++k) {
      c[k] = base + ids[j + (k < most ? k : 0)] * stride;
      sums[k] = _mm512_setzero_si512();
    }
    for (size_t at = 0; at < quarter; at += 64) {
      const __mmask64 rest = First(quarter - at);
      __m512i v[4];
      for (size_t p = 0; p < 4; ++p) v[p] = _mm512_maskz_loadu_epi8(rest, q + p * quarter + at);
      for (size_t k = 0; k < 4; ++k) sums[k] = AddU2(sums[k], _mm512_maskz_loadu_epi8(rest, c[k] + at), v);
    }
    const __m128i four = Sum4(sums[0], sums[1], sums[2], sums[3]);
    _mm_mask_storeu_epi32(out + j, static_cast<__mmask8>((1u << most) - 1), four);
  }
}

}  // namespace

void FillAvx512Vnni(Kernels& t) {
  t.name = "avx512+vnni";
  t.dot_u8_rows = DotU8Rows;
  t.dot_u4_rows = DotU4Rows;
  t.dot_u2_rows = DotU2Rows;
}

}  // namespace alcove::simd
