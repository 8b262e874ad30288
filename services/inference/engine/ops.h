// The operations a transformer encoder consists of. An implementation is a backend; the reference implementation is the
// oracle of all others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/common/memory.h"
#include "services/inference/engine/cpu/bf16_kernels.h"
#include "services/inference/engine/cpu/kernels.h"
#include "services/inference/engine/weight_arena.h"
#include "services/inference/model/model_config.h"

namespace alcove::inference {

// Scratch memory of one thread. It grows to the largest batch it has seen and is never shared.
class Workspace {
 public:
  enum Slot { kHidden, kQkv, kContext, kIntermediate, kAttention, kConverted, kPooled, kSlots };

  // At least `count` floats, 64-byte aligned; the content is unspecified. A later call for the same slot may move it.
  float* Get(Slot slot, size_t count) {
    AlignedBuffer<float>& buffer = buffers_[slot];
    if (buffer.size() < count) buffer = AlignedBuffer<float>(count);
    return buffer.data();
  }

  size_t memory_bytes() const {
    size_t bytes = 0;
    for (const AlignedBuffer<float>& buffer : buffers_) bytes += buffer.size() * sizeof(float);
    return bytes;
  }

 private:
  AlignedBuffer<float> buffers_[kSlots];
};

// Weights of x·Wᵀ + b in whatever form a backend multiplies fastest. Immutable.
class PackedLinear {
 public:
  virtual ~PackedLinear() = default;
  virtual size_t inputs() const = 0;
  virtual size_t outputs() const = 0;
};

// Look-up tables of the input layer, row-major, each [rows, hidden].
struct EmbeddingTables {
  absl::Span<const float> words;
  absl::Span<const float> positions;
  absl::Span<const float> types;
  size_t hidden = 0;
};

// Sequences of a batch laid end to end without padding: sequence i is tokens offsets[i] .. offsets[i+1]-1.
struct PackedSequences {
  absl::Span<const int32_t> ids;
  absl::Span<const int32_t> type_ids;  // empty: all 0
  absl::Span<const int32_t> offsets;   // one more entry than there are sequences; first 0, last ids.size()
  size_t count() const { return offsets.size() - 1; }
};

// Weights of one transformer layer as a checkpoint has them: matrices [outputs, inputs].
struct EncoderLayerWeights {
  struct Matrix {
    std::vector<float> weight;
    std::vector<float> bias;
  };
  struct Norm {
    std::vector<float> gamma;
    std::vector<float> beta;
  };
  size_t hidden = 0;
  size_t heads = 0;
  size_t intermediate_size = 0;
  Epilogue activation = Epilogue::kGelu;
  float eps = 0;
  Matrix qkv;  // queries, keys and values below one another: three times `hidden` outputs
  Matrix attention_out;
  Norm attention_norm;
  Matrix intermediate;
  Matrix output;
  Norm output_norm;
};

// One transformer layer in whatever form a backend runs fastest. Immutable, thread safe.
class EncoderLayer {
 public:
  virtual ~EncoderLayer() = default;
  // Replaces x[T, hidden] by the layer's output; `offsets` as in PackedSequences, T its last entry.
  virtual void Forward(absl::Span<const int32_t> offsets, Workspace& workspace, float* x) const = 0;
};

// Thread safe; each thread brings its own Workspace. Matrices are row-major f32. A row of a result is bit-identical
// whatever other rows or sequences are computed with it.
class EncoderOps {
 public:
  virtual ~EncoderOps() = default;

  // "cpu-avx512", "reference", …
  virtual absl::string_view name() const = 0;
  // Number format the matrix products read: "f32", "bf16".
  virtual absl::string_view precision() const = 0;

  // Prepares weight[outputs, inputs] and bias[outputs]; the result lies in the arena, which outlives it.
  virtual std::unique_ptr<const PackedLinear> Pack(absl::Span<const float> weight, absl::Span<const float> bias,
                                                   size_t inputs, size_t outputs, WeightArena& arena) const = 0;

  // out[rows, outputs] = epilogue(in[rows, inputs]·Wᵀ + b). `linear` was made by this backend.
  virtual void Linear(const PackedLinear& linear, const float* in, size_t rows, Epilogue epilogue, Workspace& workspace,
                      float* out) const = 0;

  // Attention, normalisation, activation and the four products between them. Unless a backend has a better way, a
  // sequence of the other operations. The layer lies in the arena and may refer to
  // this backend; both outlive it.
  virtual std::unique_ptr<const EncoderLayer> MakeLayer(EncoderLayerWeights weights, WeightArena& arena) const;

  // out[t] = words[id] + types[type] + positions[position in its sequence]. Ids, types and lengths are in range.
  virtual void Embed(const EmbeddingTables& tables, const PackedSequences& batch, float* out) const = 0;

  // Softmax attention inside each sequence: out[T, heads·head_dim] from qkv[T, 3·heads·head_dim].
  virtual void Attention(const float* qkv, absl::Span<const int32_t> offsets, size_t heads, size_t head_dim,
                         Workspace& workspace, float* out) const = 0;

  // x = LayerNorm(x + residual)·gamma + beta, in place; residual may be null.
  virtual void AddLayerNorm(float* x, const float* residual, absl::Span<const float> gamma,
                            absl::Span<const float> beta, float eps, size_t rows) const = 0;

  // out[sequences, hidden] from x[T, hidden]: mean over tokens, first token, or maximum over tokens.
  virtual void Pool(const float* x, absl::Span<const int32_t> offsets, size_t hidden, Pooling pooling,
                    float* out) const = 0;

  // Divides each row by its Euclidean length; rows shorter than 1e-12 are divided by that.
  virtual void Normalize(float* x, size_t rows, size_t columns) const = 0;
};

// Plain loops with sums in double precision: slow, obvious, the oracle.
std::unique_ptr<const EncoderOps> MakeReferenceOps();
// The CPU backend in f32 over one set of kernels.
std::unique_ptr<const EncoderOps> MakeCpuOps(const CpuKernels& kernels);
// The CPU backend with bf16 products and f32 everything else between layers; `f32` does what is no product.
std::unique_ptr<const EncoderOps> MakeCpuBf16Ops(const Bf16Kernels& kernels, const CpuKernels& f32);
// The backend for `precision`: "f32"; "bf16", FAILED_PRECONDITION where this processor has no instructions for it; or
// "auto", the faster of the two.
absl::StatusOr<std::unique_ptr<const EncoderOps>> MakeBestCpuOps(absl::string_view precision);

}  // namespace alcove::inference
