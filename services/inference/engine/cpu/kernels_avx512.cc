// AVX-512 (F, BW, DQ, VL) kernels.
#include <immintrin.h>

#include "services/inference/engine/cpu/kernels.h"

namespace alcove::inference {
namespace {

struct Vec {
  static constexpr size_t kLanes = 16;
  static constexpr size_t kVectorsPerTile = 3;
  static constexpr size_t kRowsPerTile = 8;  // 24 accumulators + 3 weights + 1 input of 32 registers
  __m512 v;

  static __mmask16 Mask(size_t count) {
    return count >= 16 ? __mmask16(0xffff) : static_cast<__mmask16>((1u << count) - 1);
  }
  static Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec LoadPartial(const float* p, size_t count) { return {_mm512_maskz_loadu_ps(Mask(count), p)}; }
  static void Store(float* p, Vec x) { _mm512_storeu_ps(p, x.v); }
  static void StorePartial(float* p, Vec x, size_t count) { _mm512_mask_storeu_ps(p, Mask(count), x.v); }
  static Vec Set(float x) { return {_mm512_set1_ps(x)}; }
  static Vec Add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  static Vec Sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static Vec Mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static Vec Div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Vec Fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec Min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Vec Max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Vec Abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
  static Vec Round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
  static Vec MulPow2(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
  static Vec IfNegative(Vec x, Vec yes, Vec no) {
    return {_mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x.v)), no.v, yes.v)};
  }
  static float ReduceAdd(Vec a) { return _mm512_reduce_add_ps(a.v); }
  static float ReduceMax(Vec a) { return _mm512_reduce_max_ps(a.v); }
};

#include "services/inference/engine/cpu/kernels.inl"

}  // namespace

const CpuKernels& Avx512Kernels() {
  static constexpr CpuKernels table = MakeTable("avx512");
  return table;
}

}  // namespace alcove::inference
