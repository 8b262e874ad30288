// AVX-512 F, DQ, BW, VL.
#include <immintrin.h>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

// The first n (0..16) lanes.
__mmask16 First(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

float DotF32(const float* a, const float* b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
    s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
  }
  for (; i + 16 <= n; i += 16) s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
  const __mmask16 rest = First(n - i);
  s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, a + i), _mm512_maskz_loadu_ps(rest, b + i), s1);
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

float L2F32(const float* a, const float* b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
    const __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
    s0 = _mm512_fmadd_ps(d0, d0, s0);
    s1 = _mm512_fmadd_ps(d1, d1, s1);
  }
  for (; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    const __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(rest, a + i), _mm512_maskz_loadu_ps(rest, b + i));
    s0 = _mm512_fmadd_ps(d, d, s0);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

__m512 LoadF16(const uint16_t* v) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v))); }

__m512 LoadBf16(const uint16_t* v) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v))), 16));
}

float DotF16(const float* q, const uint16_t* v, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    s0 = _mm512_fmadd_ps(LoadF16(v + i), _mm512_loadu_ps(q + i), s0);
    s1 = _mm512_fmadd_ps(LoadF16(v + i + 16), _mm512_loadu_ps(q + i + 16), s1);
    s2 = _mm512_fmadd_ps(LoadF16(v + i + 32), _mm512_loadu_ps(q + i + 32), s2);
    s3 = _mm512_fmadd_ps(LoadF16(v + i + 48), _mm512_loadu_ps(q + i + 48), s3);
  }
  for (; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    s0 =
        _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, v + i)), _mm512_maskz_loadu_ps(rest, q + i), s0);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

float DotBf16(const float* q, const uint16_t* v, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    s0 = _mm512_fmadd_ps(LoadBf16(v + i), _mm512_loadu_ps(q + i), s0);
    s1 = _mm512_fmadd_ps(LoadBf16(v + i + 16), _mm512_loadu_ps(q + i + 16), s1);
  }
  for (; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(rest, v + i));
    s0 = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)), _mm512_maskz_loadu_ps(rest, q + i), s0);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

void DotF32Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF32(q, reinterpret_cast<const float*>(base + ids[j] * stride), n);
}

void DotF16Rows(const float* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
                float* out) {
  for (size_t j = 0; j < count; ++j) out[j] = DotF16(q, reinterpret_cast<const uint16_t*>(base + ids[j] * stride), n);
}

void DotU8Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 32) {
      const __mmask32 rest = n - i < 32 ? static_cast<__mmask32>((1u << (n - i)) - 1) : ~__mmask32{0};
      const __m512i c = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(rest, code + i));
      const __m512i v = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(rest, q + i));
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(c, v));
    }
    out[j] = _mm512_reduce_add_epi32(sum);
  }
}

void DotU4Rows(const int8_t* q, size_t n, const uint8_t* base, size_t stride, const uint32_t* ids, size_t count,
               int32_t* out) {
  const size_t half = n / 2;
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i ones = _mm512_set1_epi16(1);
  for (size_t j = 0; j < count; ++j) {
    const uint8_t* code = base + ids[j] * stride;
    __m512i sum = _mm512_setzero_si512();
    for (size_t b = 0; b < half; b += 64) {
      const __mmask64 rest = half - b < 64 ? 0xffffffffu : ~__mmask64{0};
      const __m512i c = _mm512_maskz_loadu_epi8(rest, code + b);
      const __m512i q0 = _mm512_maskz_loadu_epi8(rest, q + b);
      const __m512i q1 = _mm512_maskz_loadu_epi8(rest, q + half + b);
      const __m512i low = _mm512_maddubs_epi16(_mm512_and_si512(c, nibble), q0);
      const __m512i high = _mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(c, 4), nibble), q1);
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_add_epi16(low, high), ones));
    }
    out[j] = _mm512_reduce_add_epi32(sum);
  }
}

void ScaleRows(const int32_t* sums, const float* scales, const uint32_t* ids, size_t count, float self, float weight,
               float offset, float* out) {
  const __m512 w = _mm512_set1_ps(weight), o = _mm512_set1_ps(offset), s = _mm512_set1_ps(self);
  for (size_t j = 0; j < count; j += 16) {
    const __mmask16 rest = count - j < 16 ? First(count - j) : 0xffff;
    __m512 scale = _mm512_set1_ps(1);
    if (scales != nullptr) {
      const __m512i id = _mm512_maskz_loadu_epi32(rest, ids + j);
      scale = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), rest, id, scales, 4);
    }
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(rest, sums + j));
    const __m512 d = _mm512_sub_ps(s, _mm512_mul_ps(_mm512_mul_ps(w, scale), _mm512_sub_ps(sum, o)));
    _mm512_mask_storeu_ps(out + j, rest, d);
  }
}

size_t BelowF32(const float* values, size_t count, float threshold, uint32_t* out) {
  const __m512 limit = _mm512_set1_ps(threshold);
  __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t found = 0;
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 rest = count - i < 16 ? First(count - i) : 0xffff;
    const __mmask16 hit = _mm512_mask_cmp_ps_mask(rest, _mm512_maskz_loadu_ps(rest, values + i), limit, _CMP_LT_OQ);
    // In a register and stored whole: a compressing store to memory is slow on some processors.
    _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(hit, at));
    found += static_cast<size_t>(__builtin_popcount(hit));
    at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
  }
  return found;
}

// Counts instead of searching: no branch to mispredict. Limit: (size + moved) / 16 loads of each array.
size_t InsertSorted(float* keys, uint32_t* values, size_t size, size_t capacity, float key, uint32_t value) {
  const __m512 k = _mm512_set1_ps(key);
  size_t place = 0;
  for (size_t i = 0; i < size; i += 16) {
    const __mmask16 rest = size - i < 16 ? First(size - i) : 0xffff;
    const __mmask16 before = _mm512_mask_cmp_ps_mask(rest, _mm512_maskz_loadu_ps(rest, keys + i), k, _CMP_LE_OQ);
    place += static_cast<size_t>(__builtin_popcount(before));
  }
  if (place >= capacity) return capacity;
  size_t moved = (size < capacity ? size : capacity - 1) - place;
  for (; moved >= 16; moved -= 16) {
    const size_t from = place + moved - 16;
    const __m512 a = _mm512_loadu_ps(keys + from);
    const __m512i b = _mm512_loadu_si512(values + from);
    _mm512_storeu_ps(keys + from + 1, a);
    _mm512_storeu_si512(values + from + 1, b);
  }
  const __mmask16 rest = First(moved);
  const __m512 a = _mm512_maskz_loadu_ps(rest, keys + place);
  const __m512i b = _mm512_maskz_loadu_epi32(rest, values + place);
  _mm512_mask_storeu_ps(keys + place + 1, rest, a);
  _mm512_mask_storeu_epi32(values + place + 1, rest, b);
  keys[place] = key;
  values[place] = value;
  return place;
}

float MaxAbsF32(const float* x, size_t n) {
  __m512 most = _mm512_setzero_ps();
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_maskz_loadu_ps(rest, x + i)));
  }
  return _mm512_reduce_max_ps(most);
}

int32_t RoundS8(const float* x, float factor, int8_t* out, size_t n) {
  const __m512 f = _mm512_set1_ps(factor);
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(f, _mm512_maskz_loadu_ps(rest, x + i)));
    v = _mm512_max_epi32(_mm512_min_epi32(v, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
    sum = _mm512_add_epi32(sum, v);
    _mm_mask_storeu_epi8(out + i, rest, _mm512_cvtepi32_epi8(v));
  }
  return _mm512_reduce_add_epi32(sum);
}

__m512 Level(__m512 x, __m512 factor, __m512 centre, __m512 low, __m512 high) {
  const __m512 level = _mm512_add_ps(_mm512_mul_ps(x, factor), centre);
  const __m512 rounded = _mm512_roundscale_ps(level, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_min_ps(_mm512_max_ps(rounded, low), high);
}

float GridDot(const float* x, float factor, float centre, float low, float high, size_t n) {
  const __m512 f = _mm512_set1_ps(factor), c = _mm512_set1_ps(centre);
  const __m512 least = _mm512_set1_ps(low), most = _mm512_set1_ps(high);
  __m512 sum = _mm512_setzero_ps();
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    const __m512 v = _mm512_maskz_loadu_ps(rest, x + i);
    sum = _mm512_fmadd_ps(v, _mm512_sub_ps(Level(v, f, c, least, most), c), sum);
  }
  return _mm512_reduce_add_ps(sum);
}

void GridRound(const float* x, float factor, float centre, float low, float high, uint8_t* out, size_t n) {
  const __m512 f = _mm512_set1_ps(factor), c = _mm512_set1_ps(centre);
  const __m512 least = _mm512_set1_ps(low), most = _mm512_set1_ps(high);
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    const __m512 level = Level(_mm512_maskz_loadu_ps(rest, x + i), f, c, least, most);
    _mm_mask_storeu_epi8(out + i, rest, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(level)));
  }
}

void F32ToF16(const float* in, uint16_t* out, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    _mm256_mask_storeu_epi16(out + i, rest,
                             _mm512_cvtps_ph(_mm512_maskz_loadu_ps(rest, in + i), _MM_FROUND_TO_NEAREST_INT));
  }
}

void F16ToF32(const uint16_t* in, float* out, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? First(n - i) : 0xffff;
    _mm512_mask_storeu_ps(out + i, rest, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, in + i)));
  }
}

void HadamardF32(float* x, size_t n) {
  size_t half = 1;
  if (n >= 16) {
    // Distances 1, 2, 4, 8 stay inside a register: each lane gets its partner plus or minus itself.
    for (size_t i = 0; i < n; i += 16) {
      __m512 v = _mm512_loadu_ps(x + i);
      __m512 p = _mm512_permute_ps(v, 0xb1);
      v = _mm512_mask_sub_ps(_mm512_add_ps(v, p), 0xaaaa, p, v);
      p = _mm512_permute_ps(v, 0x4e);
      v = _mm512_mask_sub_ps(_mm512_add_ps(v, p), 0xcccc, p, v);
      p = _mm512_shuffle_f32x4(v, v, 0xb1);
      v = _mm512_mask_sub_ps(_mm512_add_ps(v, p), 0xf0f0, p, v);
      p = _mm512_shuffle_f32x4(v, v, 0x4e);
      v = _mm512_mask_sub_ps(_mm512_add_ps(v, p), 0xff00, p, v);
      _mm512_storeu_ps(x + i, v);
    }
    half = 16;
  }
  for (; half < n && half < 16; half *= 2) {
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
      for (size_t i = block; i < block + half; i += 16) {
        const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + half);
        _mm512_storeu_ps(x + i, _mm512_add_ps(a, b));
        _mm512_storeu_ps(x + i + half, _mm512_sub_ps(a, b));
      }
    }
  }
}

}  // namespace

void FillAvx512(Kernels& t) {
  t.name = "avx512";
  t.dot_f32 = DotF32;
  t.l2_f32 = L2F32;
  t.dot_f16 = DotF16;
  t.dot_bf16 = DotBf16;
  t.dot_f32_rows = DotF32Rows;
  t.dot_f16_rows = DotF16Rows;
  t.dot_u8_rows = DotU8Rows;
  t.dot_u4_rows = DotU4Rows;
  t.scale_rows = ScaleRows;
  t.below_f32 = BelowF32;
  t.insert_sorted = InsertSorted;
  t.max_abs_f32 = MaxAbsF32;
  t.round_s8 = RoundS8;
  t.grid_dot = GridDot;
  t.grid_round = GridRound;
  t.f32_to_f16 = F32ToF16;
  t.f16_to_f32 = F16ToF32;
  t.hadamard_f32 = HadamardF32;
}

}  // namespace alcove::simd
