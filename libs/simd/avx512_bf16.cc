// AVX-512 BF16: conversion in hardware.
#include <immintrin.h>

#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

void F32ToBf16(const float* in, uint16_t* out, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const __mmask16 rest = n - i < 16 ? static_cast<__mmask16>((1u << (n - i)) - 1) : 0xffff;
    const __m256bh half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, in + i));
    _mm256_mask_storeu_epi16(out + i, rest, (__m256i)half);
  }
}

}  // namespace

void FillAvx512Bf16(Kernels& t) {
  t.name = "avx512+bf16";
  t.f32_to_bf16 = F32ToBf16;
}

}  // namespace alcove::simd
