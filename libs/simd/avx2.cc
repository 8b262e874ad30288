// AVX2 + FMA + F16C.
#include <immintrin.h>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

float Sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

int32_t Sum(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

float HalfToFloat(uint16_t h) { return _cvtsh_ss(h); }

float DotF32(const float* a, const float* b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
    s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
  }
  for (; i + 8 <= n; i += 8) s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
  float sum = Sum(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float L2F32(const float* a, const float* b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
    const __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    s0 = _mm256_fmadd_ps(d0, d0, s0);
    s1 = _mm256_fmadd_ps(d1, d1, s1);
  }
  float sum = Sum(_mm256_add_ps(s0, s1));
  for (; i < n; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

float DotF16(const float* q, const uint16_t* v, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m128i h0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(v + i));
    const __m128i h1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(v + i + 8));
    s0 = _mm256_fmadd_ps(_mm256_cvtph_ps(h0), _mm256_loadu_ps(q + i), s0);
    s1 = _mm256_fmadd_ps(_mm256_cvtph_ps(h1), _mm256_loadu_ps(q + i + 8), s1);
  }
  float sum = Sum(_mm256_add_ps(s0, s1));
  for (; i < n; ++i) sum += q[i] * HalfToFloat(v[i]);
  return sum;
}

__m256 LoadBf16(const uint16_t* v) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(v))), 16));
}

float Bf16ToFloat(uint16_t b) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(uint32_t{b} << 16))));
}

float DotBf16(const float* q, const uint16_t* v, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    s0 = _mm256_fmadd_ps(LoadBf16(v + i), _mm256_loadu_ps(q + i), s0);
    s1 = _mm256_fmadd_ps(LoadBf16(v + i + 8), _mm256_loadu_ps(q + i + 8), s1);
  }
  float sum = Sum(_mm256_add_ps(s0, s1));
  for (; i < n; ++i) sum += q[i] * Bf16ToFloat(v[i]);
  return sum;
}

void DotF32Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF32(q, reinterpret_cast<const float*>(base + ids[j] * stride), n);
}

void DotF16Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF16(q, reinterpret_cast<const uint16_t*>(base + ids[j] * stride), n);
}

// Sums of kRows rows of u8 codes with the same s8 query. u8 * s8 pairs overflow the 16-bit sums of vpmaddubsw, so bytes
// at even and at odd places are multiplied apart, as 16-bit numbers: masks and shifts, which are cheaper than widening,
// and the query's share of them is spread over the rows.
template <int kRows>
inline void DotU8Block(const int8_t* q, size_t n, const uint8_t* const* codes, int32_t* out) {
  const __m256i low = _mm256_set1_epi16(0xff);
  __m256i sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i query = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + i));
    const __m256i q_even = _mm256_srai_epi16(_mm256_slli_epi16(query, 8), 8);
    const __m256i q_odd = _mm256_srai_epi16(query, 8);
    for (int r = 0; r < kRows; ++r) {
      const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes[r] + i));
      const __m256i even = _mm256_madd_epi16(_mm256_and_si256(code, low), q_even);
      const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(code, 8), q_odd);
      sums[r] = _mm256_add_epi32(sums[r], _mm256_add_epi32(even, odd));
    }
  }
  for (int r = 0; r < kRows; ++r) {
    int32_t sum = Sum(sums[r]);
    for (size_t rest = i; rest < n; ++rest) sum += int32_t{codes[r][rest]} * q[rest];
    out[r] = sum;
  }
}

void DotU8Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const uint8_t* const codes[4] = {base + ids[j] * stride, base + ids[j + 1] * stride, base + ids[j + 2] * stride,
                                     base + ids[j + 3] * stride};
    DotU8Block<4>(q, n, codes, out + j);
  }
  for (; j < count; ++j) {
    const uint8_t* const code = base + ids[j] * stride;
    DotU8Block<1>(q, n, &code, out + j);
  }
}

// 15 * 127 * 2 fits the 16-bit pair sums.
void DotU4Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t half = n / 2;
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i ones = _mm256_set1_epi16(1);
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    __m256i s = _mm256_setzero_si256();
    for (size_t b = 0; b < half; b += 32) {
      const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + b));
      const __m256i low = _mm256_and_si256(c, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), nibble);
      const __m256i q0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + b));
      const __m256i q1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + half + b));
      const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, q0), _mm256_maddubs_epi16(high, q1));
      s = _mm256_add_epi32(s, _mm256_madd_epi16(pairs, ones));
    }
    out[j] = Sum(s);
  }
}

// The first `count` of eight 32-bit places, count <= 8.
__m256i First(size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void ScaleRows(const int32_t* sums, const float* scales, const uint32_t* ids, size_t count, float self, float weight,
               float offset, float* out) {
  const __m256 w = _mm256_set1_ps(weight), o = _mm256_set1_ps(offset), s = _mm256_set1_ps(self);
  size_t j = 0;
  for (; j + 8 <= count; j += 8) {
    __m256 factor = w;
    if (scales != nullptr) {
      const uint32_t* const id = ids + j;
      factor = _mm256_mul_ps(w, _mm256_setr_ps(scales[id[0]], scales[id[1]], scales[id[2]], scales[id[3]],
                                               scales[id[4]], scales[id[5]], scales[id[6]], scales[id[7]]));
    }
    const __m256 sum = _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + j)));
    _mm256_storeu_ps(out + j, _mm256_sub_ps(s, _mm256_mul_ps(factor, _mm256_sub_ps(sum, o))));
  }
  for (; j < count; ++j) {
    const float scale = scales == nullptr ? 1 : scales[ids[j]];
    out[j] = self - weight * scale * (static_cast<float>(sums[j]) - offset);
  }
}

// Counts instead of searching: no branch to mispredict.
size_t InsertSorted(float* keys, uint32_t* values, size_t size, size_t capacity, float key, uint32_t value) {
  const __m256 k = _mm256_set1_ps(key);
  size_t place = 0, i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m256 before = _mm256_cmp_ps(_mm256_loadu_ps(keys + i), k, _CMP_LE_OQ);
    place += static_cast<size_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(before))));
  }
  if (i < size) {
    const __m256i rest = First(size - i);
    const __m256 before = _mm256_cmp_ps(_mm256_maskload_ps(keys + i, rest), k, _CMP_LE_OQ);
    place += static_cast<size_t>(__builtin_popcount(
        static_cast<unsigned>(_mm256_movemask_ps(_mm256_and_ps(before, _mm256_castsi256_ps(rest))))));
  }
  if (place >= capacity) return capacity;
  size_t moved = (size < capacity ? size : capacity - 1) - place;
  if (moved >= 8) {
    // The first eight are read before and written after all others: they need no parts of eight.
    const __m256 first_keys = _mm256_loadu_ps(keys + place);
    const __m256i first_values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + place));
    for (; moved > 8; moved -= moved < 16 ? moved - 8 : 8) {
      const size_t from = place + moved - 8;
      const __m256 a = _mm256_loadu_ps(keys + from);
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + from));
      _mm256_storeu_ps(keys + from + 1, a);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + from + 1), b);
    }
    _mm256_storeu_ps(keys + place + 1, first_keys);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + place + 1), first_values);
  } else {
    for (size_t at = place + moved; at > place; --at) {
      keys[at] = keys[at - 1];
      values[at] = values[at - 1];
    }
  }
  keys[place] = key;
  values[place] = value;
  return place;
}

void MultiplyF32(float* x, const float* y, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  for (; i < n; ++i) x[i] *= y[i];
}

float MaxAbsF32(const float* x, size_t n) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 most = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 8 <= n; i += 8) most = _mm256_max_ps(most, _mm256_and_ps(magnitude, _mm256_loadu_ps(x + i)));
  float lanes[8];
  _mm256_storeu_ps(lanes, most);
  float out = 0;
  for (float lane : lanes) out = lane > out ? lane : out;
  for (; i < n; ++i) {
    const float value = x[i] < 0 ? -x[i] : x[i];
    out = value > out ? value : out;
  }
  return out;
}

int32_t SumOfQuads(__m256i v) {
  __m128i s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  return static_cast<int32_t>(_mm_cvtsi128_si64(_mm_add_epi64(s, _mm_unpackhi_epi64(s, s))));
}

int32_t ExpandU8(const uint8_t* codes, int8_t* out, size_t n) {
  const __m256i sign = _mm256_set1_epi8(-128);
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < n; i += 32) {
    const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_xor_si256(c, sign));
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(c, _mm256_setzero_si256()));
  }
  return SumOfQuads(sum) - 128 * static_cast<int32_t>(n);
}

int32_t ExpandU4(const uint8_t* codes, int8_t* out, size_t n) {
  const size_t half = n / 2;
  const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
  __m256i sum = zero;
  for (size_t i = 0; i < half; i += 32) {
    const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
    const __m256i low = _mm256_and_si256(c, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), nibble);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_sub_epi8(_mm256_add_epi8(low, low), nibble));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half + i),
                        _mm256_sub_epi8(_mm256_add_epi8(high, high), nibble));
    sum = _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_sad_epu8(low, zero), _mm256_sad_epu8(high, zero)));
  }
  return 2 * SumOfQuads(sum) - 15 * static_cast<int32_t>(n);
}

void F32ToF16(const float* in, uint16_t* out, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < n; ++i) out[i] = _cvtss_sh(in[i], _MM_FROUND_TO_NEAREST_INT);
}

void F16ToF32(const uint16_t* in, float* out, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
  }
  for (; i < n; ++i) out[i] = HalfToFloat(in[i]);
}

void Bf16ToF32(const uint16_t* in, float* out, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, LoadBf16(in + i));
  for (; i < n; ++i) out[i] = Bf16ToFloat(in[i]);
}

void HadamardF32(float* x, size_t n) {
  size_t half = 1;
  for (; half < n && half < 8; half *= 2) {
    for (size_t block = 0; block < n; block += 2 * half) {
      for (size_t i = block; i < block + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
  for (; half < n; half *= 2) {
    for (size_t block = 0; block < n; block += 2 * half) {
      for (size_t i = block; i < block + half; i += 8) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);
        _mm256_storeu_ps(x + i, _mm256_add_ps(a, b));
        _mm256_storeu_ps(x + i + half, _mm256_sub_ps(a, b));
      }
    }
  }
}

}  // namespace

void FillAvx2(Kernels& t) {
  t.name = "avx2";
  t.dot_f32 = DotF32;
  t.l2_f32 = L2F32;
  t.dot_f16 = DotF16;
  t.dot_bf16 = DotBf16;
  t.dot_f32_rows = DotF32Rows;
  t.dot_f16_rows = DotF16Rows;
  t.dot_u8_rows = DotU8Rows;
  t.dot_u4_rows = DotU4Rows;
  t.scale_rows = ScaleRows;
  t.insert_sorted = InsertSorted;
  t.multiply_f32 = MultiplyF32;
  t.max_abs_f32 = MaxAbsF32;
  t.expand_u8 = ExpandU8;
  t.expand_u4 = ExpandU4;
  t.f32_to_f16 = F32ToF16;
  t.f16_to_f32 = F16ToF32;
  t.bf16_to_f32 = Bf16ToF32;
  t.hadamard_f32 = HadamardF32;
}

}  // namespace alcove::simd
