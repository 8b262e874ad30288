// The CPU's inner loops with bf16 operands and f32 sums, once per instruction set behind a table of functions.
//
// bf16 matrices come in two forms, both with columns rounded up to 32 and zeros there. "By rows": row after row. "In
// tiles": tiles of 16 rows by 32 columns, each contiguous row after row, those of the same rows side by side; this is
// what products read. As with the f32 kernels, an output row depends only on its own input row (attention: on its own
// sequence), in an order that does not depend on what shares the call, so results are bit-identical in every batch.
// Between instruction sets they agree to the rounding of bf16: products are exact, sums are f32 in an order of the
// set's own, and functions (GELU, exponential) are exact to 2e-5, a tenth of what the rounding of their result to bf16
// costs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "services/inference/engine/cpu/kernels.h"

namespace alcove::inference {

// Weights are packed into panels of 32 output columns, each a sequence of blocks of 32 inputs, each two tiles of 16
// columns: element (input 2p + i, column c) of a tile is entry (16p + c)·2 + i. That is the operand both of AMX's tile
// product and of AVX-512's dot product of pairs. Columns and inputs are rounded up to 32 with zeros.
inline constexpr size_t kBf16Block = 32;
inline constexpr size_t kBf16TileRows = 16;
inline constexpr size_t kBf16TileEntries = kBf16TileRows * kBf16Block;

constexpr size_t RoundUpToBf16Block(size_t value) { return (value + kBf16Block - 1) / kBf16Block * kBf16Block; }

// Where the 32 columns from `column` (a multiple of 32) of a row begin in a matrix in tiles with `padded_columns`.
constexpr size_t Bf16TileOffset(size_t row, size_t column, size_t padded_columns) {
  return (row / kBf16TileRows * (padded_columns / kBf16Block) + column / kBf16Block) * kBf16TileEntries +
         row % kBf16TileRows * kBf16Block;
}

// The rows a block product reads: of the upper and the lower tile, with the entries from one row and from one block of
// 32 columns to the next.
struct Bf16LeftHand {
  const uint16_t* upper;
  const uint16_t* lower;
  size_t row_stride;
  size_t block_stride;
};

// Tiles from `tiles` on, of a matrix in tiles `blocks` blocks wide.
constexpr Bf16LeftHand TiledLeftHand(const uint16_t* tiles, size_t blocks) {
  return {tiles, tiles + blocks * kBf16TileEntries, kBf16Block, kBf16TileEntries};
}

// Which side of a product is read once and need not stay in the first-level cache.
enum class Streamed { kNeither, kLeft, kRight };

struct Bf16LinearArgs {
  const uint16_t* in;     // [rows, depth] in tiles; rows up to a multiple of 32 are readable, whatever they hold
  const uint16_t* tiles;  // packed weights, 64-byte aligned
  const float* bias;      // `columns` rounded up to 32
  size_t rows = 0;
  size_t depth = 0;
  size_t columns = 0;
  Epilogue epilogue = Epilogue::kNone;
  // Exactly one of the three is set: [rows, columns].
  uint16_t* out_tiles = nullptr;
  uint16_t* out_rows = nullptr;
  float* out_f32 = nullptr;
};

struct Bf16Kernels {
  const char* name;  // "amx", "avx512-bf16", "portable-bf16"

  // out = epilogue(in · W + bias). 2·rows·columns·depth operations; reads 2·columns·depth bytes of weights.
  void (*linear)(const Bf16LinearArgs& args);

  // Softmax attention of one sequence: rows first_row .. first_row + S - 1 of out[…, H·D], in tiles, from qkv[S,
  // 3·H·D], by rows; D % 32 == 0. Rows of qkv up to S rounded up to 32 are readable, whatever they hold. `scratch` is
  // 64-byte aligned and has Bf16AttentionScratchBytes(shape) bytes.
  void (*attention)(const uint16_t* qkv, const AttentionShape& shape, uint8_t* scratch, size_t first_row,
                    uint16_t* out);

  // x[row] = LayerNorm(x[row] + residual[row]) · gamma + beta, in place, as the f32 kernel does; `copy` receives the
  // result in tiles, unless it is null.
  void (*add_layer_norm)(float* x, const float* residual, const float* gamma, const float* beta, float eps, size_t rows,
                         size_t columns, uint16_t* copy);

  // out, in tiles, from in[rows, columns]; rounds to nearest even.
  void (*convert)(const float* in, size_t rows, size_t columns, uint16_t* out);
};

// How attention goes about a sequence, and its scratch: for each head of a group, keys | values | scores [32, S32] |
// weights [32, S32] in tiles | an output block [32, 32], each array for all heads of the group.
inline constexpr size_t kBf16MostHeadsAtOnce = 16;
struct Bf16AttentionPlan {
  size_t padded;  // S32: S rounded up to 32
  size_t heads_at_once;
  size_t key_entries;  // of one head, and as many of values
};
constexpr Bf16AttentionPlan PlanBf16Attention(const AttentionShape& shape) {
  const size_t padded = RoundUpToBf16Block(shape.tokens);
  // Short sequences take many heads in turns of each step, so that one head's latencies hide behind the others'.
  const size_t most = padded > 64 ? 1 : kBf16MostHeadsAtOnce;
  return {padded, shape.heads < most ? shape.heads : most, padded * shape.head_dim};
}
constexpr size_t Bf16AttentionScratchBytes(const AttentionShape& shape) {
  const Bf16AttentionPlan plan = PlanBf16Attention(shape);
  return plan.heads_at_once * (2 * 2 * plan.key_entries + (4 + 2) * 32 * plan.padded + 4 * 32 * 32);
}

// The plain twin of the others: any machine, slow.
const Bf16Kernels& PortableBf16Kernels();
#if defined(__x86_64__)
// AVX-512 F, BW, DQ, VL and BF16.
const Bf16Kernels& Avx512Bf16Kernels();
// The same, and AMX with BF16.
const Bf16Kernels& AmxKernels();
#endif

// Those this machine runs faster than f32, fastest first; may be empty.
struct Bf16KernelList {
  const Bf16Kernels* entries[2];
  size_t count;
};
Bf16KernelList SupportedBf16Kernels();

}  // namespace alcove::inference
