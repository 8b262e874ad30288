// bf16 kernels with AMX: products of 16×32 by 32×16 tiles.
#include <immintrin.h>

#include "services/inference/engine/cpu/bf16_kernels.h"

namespace alcove::inference {
namespace {

// Tiles 0-3 are sums, 4 and 5 left-hand, 6 and 7 right-hand sides, all of full size: rows past a matrix cost nothing
// extra and are never read back.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

struct BlockSession {
  BlockSession() {
    alignas(64) static constexpr TileConfig config;
    _tile_loadconfig(&config);
  }
  // An idle tile unit keeps context switches short.
  ~BlockSession() { _tile_release(); }
};

// Tile numbers are part of the instruction.
#define ALCOVE_LOAD_LEFT(tile, from)      \
  if constexpr (S == Streamed::kLeft) {   \
    _tile_stream_loadd(tile, from, left); \
  } else {                                \
    _tile_loadd(tile, from, left);        \
  }
#define ALCOVE_LOAD_RIGHT(tile, from)    \
  if constexpr (S == Streamed::kRight) { \
    _tile_stream_loadd(tile, from, 64);  \
  } else {                               \
    _tile_loadd(tile, from, 64);         \
  }

template <Streamed S, size_t Panels, class Between>
__attribute__((always_inline)) inline void MultiplyBlock(const Bf16LeftHand& a, const uint16_t* b, size_t panel_stride,
                                                         size_t depth_blocks, size_t row_tiles, float* c,
                                                         size_t c_stride, Between between) {
  const size_t left = a.row_stride * sizeof(uint16_t), c_bytes = c_stride * sizeof(float);
  const uint16_t* upper = a.upper;
  // The compiler does not know that tile loads read memory.
  __asm__ volatile("" ::: "memory");
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Panels == 2) {
    const uint16_t* other = b + panel_stride;
    _tile_zero(2);
    _tile_zero(3);
    for (size_t k = 0; k < depth_blocks; ++k) {
      ALCOVE_LOAD_LEFT(4, upper)
      ALCOVE_LOAD_RIGHT(6, b)
      ALCOVE_LOAD_RIGHT(7, b + kBf16TileEntries)
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      ALCOVE_LOAD_RIGHT(6, other)
      ALCOVE_LOAD_RIGHT(7, other + kBf16TileEntries)
      _tile_dpbf16ps(2, 4, 6);
      _tile_dpbf16ps(3, 4, 7);
      between(k);
      upper += a.block_stride;
      b += 2 * kBf16TileEntries;
      other += 2 * kBf16TileEntries;
    }
    _tile_stored(2, c + 32, c_bytes);
    _tile_stored(3, c + 48, c_bytes);
  } else if (row_tiles == 1) {
    for (size_t k = 0; k < depth_blocks; ++k) {
      ALCOVE_LOAD_LEFT(4, upper)
      ALCOVE_LOAD_RIGHT(6, b)
      ALCOVE_LOAD_RIGHT(7, b + kBf16TileEntries)
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      between(k);
      upper += a.block_stride;
      b += 2 * kBf16TileEntries;
    }
  } else {
    const uint16_t* lower = a.lower;
    _tile_zero(2);
    _tile_zero(3);
    for (size_t k = 0; k < depth_blocks; ++k) {
      ALCOVE_LOAD_LEFT(4, upper)
      ALCOVE_LOAD_RIGHT(6, b)
      ALCOVE_LOAD_RIGHT(7, b + kBf16TileEntries)
      _tile_dpbf16ps(0, 4, 6);
      ALCOVE_LOAD_LEFT(5, lower)
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      between(k);
      upper += a.block_stride;
      lower += a.block_stride;
      b += 2 * kBf16TileEntries;
    }
    _tile_stored(2, c + 16 * c_stride, c_bytes);
    _tile_stored(3, c + 16 * c_stride + 16, c_bytes);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  __asm__ volatile("" ::: "memory");
}

#undef ALCOVE_LOAD_LEFT
#undef ALCOVE_LOAD_RIGHT

#include "services/inference/engine/cpu/bf16_kernels.inl"

}  // namespace

const Bf16Kernels& AmxKernels() {
  static constexpr Bf16Kernels table = MakeTable("amx");
  return table;
}

}  // namespace alcove::inference
