// A transformer layer as a sequence of a backend's operations.
#include <utility>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

class PlainLayer final : public EncoderLayer {
 public:
  PlainLayer(const EncoderOps& ops, EncoderLayerWeights weights, WeightArena& arena)
      : ops_(ops),
        hidden_(weights.hidden),
        heads_(weights.heads),
        intermediate_size_(weights.intermediate_size),
        activation_(weights.activation),
        eps_(weights.eps),
        qkv_(ops.Pack(weights.qkv.weight, weights.qkv.bias, hidden_, 3 * hidden_, arena)),
        attention_out_(ops.Pack(weights.attention_out.weight, weights.attention_out.bias, hidden_, hidden_, arena)),
        intermediate_(
            ops.Pack(weights.intermediate.weight, weights.intermediate.bias, hidden_, intermediate_size_, arena)),
        output_(ops.Pack(weights.output.weight, weights.output.bias, intermediate_size_, hidden_, arena)),
        attention_norm_(std::move(weights.attention_norm)),
        output_norm_(std::move(weights.output_norm)) {}

  void Forward(absl::Span<const int32_t> offsets, Workspace& workspace, float* x) const override {
    const auto rows = static_cast<size_t>(offsets.back());
    float* qkv = workspace.Get(Workspace::kQkv, rows * 3 * hidden_);
    float* context = workspace.Get(Workspace::kContext, rows * hidden_);
    float* attended = workspace.Get(Workspace::kHidden, rows * hidden_);
    float* intermediate = workspace.Get(Workspace::kIntermediate, rows * intermediate_size_);
    ops_.Linear(*qkv_, x, rows, Epilogue::kNone, workspace, qkv);
    ops_.Attention(qkv, offsets, heads_, hidden_ / heads_, workspace, context);
    ops_.Linear(*attention_out_, context, rows, Epilogue::kNone, workspace, attended);
    ops_.AddLayerNorm(attended, x, attention_norm_.gamma, attention_norm_.beta, eps_, rows);
    ops_.Linear(*intermediate_, attended, rows, activation_, workspace, intermediate);
    ops_.Linear(*output_, intermediate, rows, Epilogue::kNone, workspace, x);
    ops_.AddLayerNorm(x, attended, output_norm_.gamma, output_norm_.beta, eps_, rows);
  }

 private:
  const EncoderOps& ops_;
  const size_t hidden_;
  const size_t heads_;
  const size_t intermediate_size_;
  const Epilogue activation_;
  const float eps_;
  const std::unique_ptr<const PackedLinear> qkv_;
  const std::unique_ptr<const PackedLinear> attention_out_;
  const std::unique_ptr<const PackedLinear> intermediate_;
  const std::unique_ptr<const PackedLinear> output_;
  const EncoderLayerWeights::Norm attention_norm_;
  const EncoderLayerWeights::Norm output_norm_;
};

}  // namespace

std::unique_ptr<const EncoderLayer> EncoderOps::MakeLayer(EncoderLayerWeights weights, WeightArena& arena) const {
  return std::make_unique<PlainLayer>(*this, std::move(weights), arena);
}

}  // namespace alcove::inference
