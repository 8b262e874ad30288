// AVX2 + FMA kernels.
#include <immintrin.h>

#include "services/inference/engine/cpu/kernels.h"

namespace alcove::inference {
namespace {

struct Vec {
  static constexpr size_t kLanes = 8;
  static constexpr size_t kVectorsPerTile = 3;
  static constexpr size_t kRowsPerTile = 4;  // 12 accumulators + 3 weights + 1 input of 16 registers
  __m256 v;

  static __m256i Mask(size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count >= 8 ? 8 : static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Vec Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec LoadPartial(const float* p, size_t count) { return {_mm256_maskload_ps(p, Mask(count))}; }
  static void Store(float* p, Vec x) { _mm256_storeu_ps(p, x.v); }
  static void StorePartial(float* p, Vec x, size_t count) { _mm256_maskstore_ps(p, Mask(count), x.v); }
  static Vec Set(float x) { return {_mm256_set1_ps(x)}; }
  static Vec Add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  static Vec Sub(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  static Vec Mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  static Vec Div(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
  static Vec Fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec Min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  static Vec Max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  static Vec Abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
  static Vec Round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  static Vec MulPow2(Vec a, Vec n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
    return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(exponent))};
  }
  static Vec IfNegative(Vec x, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, x.v)}; }
  static float ReduceAdd(Vec a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  static float ReduceMax(Vec a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
};

#include "services/inference/engine/cpu/kernels.inl"

}  // namespace

const CpuKernels& Avx2Kernels() {
  static constexpr CpuKernels table = MakeTable("avx2");
  return table;
}

}  // namespace alcove::inference
