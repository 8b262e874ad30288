// The CPU's inner loops, once per instruction set behind a table of functions. All matrices are row-major f32.
//
// Every output row depends only on its own input row (attention: on its own sequence) and is computed in an order that
// does not depend on how many rows are processed together, so results are bit-identical whatever shares a batch. They
// may differ in the last bits between instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::inference {

// Weights are packed into panels of 48 output columns: panel p holds columns 48p .. 48p+47 as [in, 48]; the last panel
// is as wide as its columns rounded up to 16, zero-filled. 48 = three AVX-512 or six AVX2 vectors.
inline constexpr size_t kPanelColumns = 48;
inline constexpr size_t kPanelGranule = 16;

// What is applied to x·W + bias before it is stored.
enum class Epilogue : int32_t { kNone, kGelu, kGeluTanh, kRelu };

// One sequence's view for attention: its rows in the packed qkv matrix.
struct AttentionShape {
  size_t tokens;  // S, at least 1
  size_t heads;
  size_t head_dim;  // D
};

struct CpuKernels {
  const char* name;  // "avx512", "avx2", "portable"

  // out[rows, columns] = epilogue(in[rows, depth] · packed[depth, columns] + bias[columns]). `bias` has its columns
  // rounded up to 16; rows of `in` and `out` are contiguous. 2·rows·columns·depth operations.
  void (*linear)(const float* in, const float* packed, const float* bias, size_t rows, size_t depth, size_t columns,
                 Epilogue epilogue, float* out);

  // Softmax attention of one sequence: out[S, H·D] from qkv[S, 3·H·D] (queries, keys, values side by side; head h at
  // columns h·D of each). `scratch` has attention_scratch_floats(shape) entries, 64-byte aligned.
  void (*attention)(const float* qkv, const AttentionShape& shape, float* scratch, float* out);

  // x[row] = LayerNorm(x[row] + residual[row]) · gamma + beta, in place; `residual` may be null.
  void (*add_layer_norm)(float* x, const float* residual, const float* gamma, const float* beta, float eps, size_t rows,
                         size_t columns);

  // out[i] += in[i]
  void (*add)(const float* in, size_t count, float* out);
  // out[i] = max(out[i], in[i])
  void (*maximum)(const float* in, size_t count, float* out);
  // x[i] *= factor
  void (*scale)(float* x, size_t count, float factor);
  // Sum of squares.
  float (*square_sum)(const float* x, size_t count);
};

// Floats of scratch one attention call needs.
size_t AttentionScratchFloats(const AttentionShape& shape);

// Portable vector code; runs everywhere.
const CpuKernels& PortableKernels();
#if defined(__x86_64__)
const CpuKernels& Avx2Kernels();
const CpuKernels& Avx512Kernels();
#endif

// Those this machine can run, fastest first; never empty.
struct KernelList {
  const CpuKernels* entries[3];
  size_t count;
};
KernelList SupportedKernels();

}  // namespace alcove::inference
