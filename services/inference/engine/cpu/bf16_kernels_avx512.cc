// bf16 kernels with AVX-512 BF16: dot products of pairs.
#include <immintrin.h>

#include "services/inference/engine/cpu/bf16_kernels.h"

namespace alcove::inference {
namespace {

struct BlockSession {
  BlockSession() {}
};

// Eight rows by 32 columns: 16 accumulators.
inline void MultiplyEightRows(const uint16_t* a, size_t row_stride, size_t block_stride, const uint16_t* b,
                              size_t depth_blocks, float* c, size_t c_stride) {
  __m512 sums[8][2];
#pragma GCC unroll 8
  for (size_t r = 0; r < 8; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  for (size_t k = 0; k < depth_blocks; ++k, a += block_stride, b += 2 * kBf16TileEntries) {
    for (size_t p = 0; p < 16; ++p) {
      const __m512bh b0 = (__m512bh)_mm512_load_si512(b + 32 * p);
      const __m512bh b1 = (__m512bh)_mm512_load_si512(b + kBf16TileEntries + 32 * p);
#pragma GCC unroll 8
      for (size_t r = 0; r < 8; ++r) {
        int32_t pair;
        __builtin_memcpy(&pair, a + r * row_stride + 2 * p, sizeof(pair));
        const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, b0);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], x, b1);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < 8; ++r) {
    _mm512_store_ps(c + r * c_stride, sums[r][0]);
    _mm512_store_ps(c + r * c_stride + 16, sums[r][1]);
  }
}

template <Streamed, size_t Panels, class Between>
inline void MultiplyBlock(const Bf16LeftHand& a, const uint16_t* b, size_t panel_stride, size_t depth_blocks,
                          size_t row_tiles, float* c, size_t c_stride, Between between) {
  for (size_t panel = 0; panel < Panels; ++panel) {
    for (size_t r = 0; r < 16 * row_tiles; r += 8) {
      const uint16_t* row = r < 16 ? a.upper + r * a.row_stride : a.lower + (r - 16) * a.row_stride;
      MultiplyEightRows(row, a.row_stride, a.block_stride, b + panel * panel_stride, depth_blocks,
                        c + r * c_stride + panel * kBf16Block, c_stride);
    }
  }
  for (size_t k = 0; k < depth_blocks; ++k) between(k);
}

#include "services/inference/engine/cpu/bf16_kernels.inl"

}  // namespace

const Bf16Kernels& Avx512Bf16Kernels() {
  static constexpr Bf16Kernels table = MakeTable("avx512-bf16");
  return table;
}

}  // namespace alcove::inference
