#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

size_t RoundUpToGranule(size_t value) { return (value + kPanelGranule - 1) / kPanelGranule * kPanelGranule; }

struct CpuLinear final : PackedLinear {
  absl::Span<float> panels;
  absl::Span<float> bias;
  size_t in = 0;
  size_t out = 0;

  size_t inputs() const override { return in; }
  size_t outputs() const override { return out; }
};

class CpuOps final : public EncoderOps {
 public:
  explicit CpuOps(const CpuKernels& kernels) : kernels_(kernels), name_(absl::StrCat("cpu-", kernels.name)) {}

  absl::string_view name() const override { return name_; }
  absl::string_view precision() const override { return "f32"; }

  std::unique_ptr<const PackedLinear> Pack(absl::Span<const float> weight, absl::Span<const float> bias, size_t inputs,
                                           size_t outputs, WeightArena& arena) const override {
    auto linear = std::make_unique<CpuLinear>();
    linear->in = inputs;
    linear->out = outputs;
    linear->panels = arena.Allocate<float>(RoundUpToGranule(outputs) * inputs);
    linear->bias = arena.Allocate<float>(RoundUpToGranule(outputs));
    std::copy(bias.begin(), bias.end(), linear->bias.begin());
    float* panel = linear->panels.data();
    for (size_t column = 0; column < outputs; column += kPanelColumns) {
      const size_t columns = std::min(kPanelColumns, outputs - column);
      const size_t width = RoundUpToGranule(columns);
      for (size_t c = 0; c < columns; ++c) {
        const float* row = weight.data() + (column + c) * inputs;
        for (size_t k = 0; k < inputs; ++k) panel[k * width + c] = row[k];
      }
      panel += inputs * width;
    }
    return linear;
  }

  void Linear(const PackedLinear& packed, const float* in, size_t rows, Epilogue epilogue, Workspace&,
              float* out) const override {
    const auto& linear = static_cast<const CpuLinear&>(packed);
    kernels_.linear(in, linear.panels.data(), linear.bias.data(), rows, linear.in, linear.out, epilogue, out);
  }

  void Embed(const EmbeddingTables& tables, const PackedSequences& batch, float* out) const override {
    const size_t hidden = tables.hidden;
    for (size_t s = 0; s < batch.count(); ++s) {
      const float* position = tables.positions.data();
      for (int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t, out += hidden, position += hidden) {
        const size_t type = batch.type_ids.empty() ? 0 : batch.type_ids[t];
        std::memcpy(out, tables.words.data() + batch.ids[t] * hidden, hidden * sizeof(float));
        kernels_.add(tables.types.data() + type * hidden, hidden, out);
        kernels_.add(position, hidden, out);
      }
    }
  }

  void Attention(const float* qkv, absl::Span<const int32_t> offsets, size_t heads, size_t head_dim,
                 Workspace& workspace, float* out) const override {
    const size_t hidden = heads * head_dim;
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      const size_t begin = offsets[s];
      const AttentionShape shape{static_cast<size_t>(offsets[s + 1]) - begin, heads, head_dim};
      float* scratch = workspace.Get(Workspace::kAttention, AttentionScratchFloats(shape));
      kernels_.attention(qkv + begin * 3 * hidden, shape, scratch, out + begin * hidden);
    }
  }

  void AddLayerNorm(float* x, const float* residual, absl::Span<const float> gamma, absl::Span<const float> beta,
                    float eps, size_t rows) const override {
    kernels_.add_layer_norm(x, residual, gamma.data(), beta.data(), eps, rows, gamma.size());
  }

  void Pool(const float* x, absl::Span<const int32_t> offsets, size_t hidden, Pooling pooling,
            float* out) const override {
    for (size_t s = 0; s + 1 < offsets.size(); ++s, out += hidden) {
      const size_t begin = offsets[s];
      const size_t end = offsets[s + 1];
      std::memcpy(out, x + begin * hidden, hidden * sizeof(float));
      if (pooling == Pooling::kCls) continue;
      for (size_t t = begin + 1; t < end; ++t) {
        (pooling == Pooling::kMax ? kernels_.maximum : kernels_.add)(x + t * hidden, hidden, out);
      }
      if (pooling == Pooling::kMean) kernels_.scale(out, hidden, 1.0f / static_cast<float>(end - begin));
    }
  }

  void Normalize(float* x, size_t rows, size_t columns) const override {
    for (size_t r = 0; r < rows; ++r, x += columns) {
      const float length = std::max(std::sqrt(kernels_.square_sum(x, columns)), 1e-12f);
      kernels_.scale(x, columns, 1.0f / length);
    }
  }

 private:
  const CpuKernels& kernels_;
  std::string name_;
};

}  // namespace

std::unique_ptr<const EncoderOps> MakeCpuOps(const CpuKernels& kernels) { return std::make_unique<CpuOps>(kernels); }

}  // namespace alcove::inference
