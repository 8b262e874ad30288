#include <algorithm>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

// The workspace deals in floats.
uint16_t* GetBf16(Workspace& workspace, Workspace::Slot slot, size_t entries) {
  return reinterpret_cast<uint16_t*>(workspace.Get(slot, (entries + 1) / 2));
}

// Tiles and rounded-up sequences are read past the last row, never more than this many.
constexpr size_t kRowsReadPastTheLast = kBf16Block;

struct Bf16Linear final : PackedLinear {
  absl::Span<uint16_t> tiles;
  absl::Span<float> bias;
  size_t in = 0;
  size_t out = 0;

  size_t inputs() const override { return in; }
  size_t outputs() const override { return out; }

  Bf16LinearArgs Args(const uint16_t* input, size_t rows, Epilogue epilogue) const {
    Bf16LinearArgs args{};
    args.in = input;
    args.tiles = tiles.data();
    args.bias = bias.data();
    args.rows = rows;
    args.depth = in;
    args.columns = out;
    args.epilogue = epilogue;
    return args;
  }
};

std::unique_ptr<const Bf16Linear> PackBf16(const Bf16Kernels& kernels, absl::Span<const float> weight,
                                           absl::Span<const float> bias, size_t inputs, size_t outputs,
                                           WeightArena& arena) {
  auto linear = std::make_unique<Bf16Linear>();
  linear->in = inputs;
  linear->out = outputs;
  const size_t depth = RoundUpToBf16Block(inputs), columns = RoundUpToBf16Block(outputs);
  linear->tiles = arena.Allocate<uint16_t>(columns * depth);
  linear->bias = arena.Allocate<float>(columns);
  std::copy(bias.begin(), bias.end(), linear->bias.begin());
  // One row in tiles: its blocks of 32 are a tile apart.
  std::vector<uint16_t> row(depth / kBf16Block * kBf16TileEntries);
  for (size_t c = 0; c < outputs; ++c) {
    kernels.convert(weight.data() + c * inputs, 1, inputs, row.data());
    uint16_t* tile = linear->tiles.data() + c / 32 * 32 * depth + c / 16 % 2 * kBf16TileEntries + c % 16 * 2;
    for (size_t k = 0; k < depth; ++k) {
      tile[k / 32 * 2 * kBf16TileEntries + k % 32 / 2 * 32 + k % 2] = row[k / 32 * kBf16TileEntries + k % 32];
    }
  }
  return linear;
}

class Bf16Layer final : public EncoderLayer {
 public:
  Bf16Layer(const Bf16Kernels& kernels, const EncoderOps& f32, EncoderLayerWeights weights, WeightArena& arena)
      : kernels_(kernels),
        f32_(f32),
        hidden_(weights.hidden),
        heads_(weights.heads),
        intermediate_size_(weights.intermediate_size),
        activation_(weights.activation),
        eps_(weights.eps),
        qkv_(Pack(weights.qkv, hidden_, 3 * hidden_, arena)),
        attention_out_(Pack(weights.attention_out, hidden_, hidden_, arena)),
        intermediate_(Pack(weights.intermediate, hidden_, intermediate_size_, arena)),
        output_(Pack(weights.output, intermediate_size_, hidden_, arena)),
        attention_norm_(std::move(weights.attention_norm)),
        output_norm_(std::move(weights.output_norm)) {}

  void Forward(absl::Span<const int32_t> offsets, Workspace& workspace, float* x) const override {
    const auto rows = static_cast<size_t>(offsets.back());
    const size_t row_stride = RoundUpToBf16Block(hidden_), read = rows + kRowsReadPastTheLast;
    float* attended = workspace.Get(Workspace::kHidden, rows * hidden_);
    uint16_t* converted = GetBf16(workspace, Workspace::kConverted, read * row_stride);
    uint16_t* context = GetBf16(workspace, Workspace::kContext, read * row_stride);
    uint16_t* intermediate =
        GetBf16(workspace, Workspace::kIntermediate, read * RoundUpToBf16Block(intermediate_size_));

    kernels_.convert(x, rows, hidden_, converted);
    Attention(offsets, converted, workspace, context);
    Run(*attention_out_, context, rows, Epilogue::kNone, attended);
    kernels_.add_layer_norm(attended, x, attention_norm_.gamma.data(), attention_norm_.beta.data(), eps_, rows, hidden_,
                            converted);
    Bf16LinearArgs args = intermediate_->Args(converted, rows, activation_);
    args.out_tiles = intermediate;
    kernels_.linear(args);
    Run(*output_, intermediate, rows, Epilogue::kNone, x);
    kernels_.add_layer_norm(x, attended, output_norm_.gamma.data(), output_norm_.beta.data(), eps_, rows, hidden_,
                            nullptr);
  }

 private:
  std::unique_ptr<const Bf16Linear> Pack(const EncoderLayerWeights::Matrix& matrix, size_t inputs, size_t outputs,
                                         WeightArena& arena) const {
    return PackBf16(kernels_, matrix.weight, matrix.bias, inputs, outputs, arena);
  }

  void Run(const Bf16Linear& linear, const uint16_t* in, size_t rows, Epilogue epilogue, float* out) const {
    Bf16LinearArgs args = linear.Args(in, rows, epilogue);
    args.out_f32 = out;
    kernels_.linear(args);
  }

  void Attention(absl::Span<const int32_t> offsets, const uint16_t* in, Workspace& workspace, uint16_t* context) const {
    const auto rows = static_cast<size_t>(offsets.back());
    const size_t head_dim = hidden_ / heads_;
    if (head_dim % kBf16Block != 0) {  // heads that fill no tile
      float* qkv = workspace.Get(Workspace::kQkv, rows * 3 * hidden_);
      float* attended = workspace.Get(Workspace::kHidden, rows * hidden_);
      Run(*qkv_, in, rows, Epilogue::kNone, qkv);
      f32_.Attention(qkv, offsets, heads_, head_dim, workspace, attended);
      kernels_.convert(attended, rows, hidden_, context);
      return;
    }
    const size_t stride = RoundUpToBf16Block(3 * hidden_);
    uint16_t* qkv = GetBf16(workspace, Workspace::kQkv, (rows + kRowsReadPastTheLast) * stride);
    Bf16LinearArgs args = qkv_->Args(in, rows, Epilogue::kNone);
    args.out_rows = qkv;
    kernels_.linear(args);
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      const auto begin = static_cast<size_t>(offsets[s]);
      const AttentionShape shape{static_cast<size_t>(offsets[s + 1]) - begin, heads_, head_dim};
      float* scratch = workspace.Get(Workspace::kAttention, Bf16AttentionScratchBytes(shape) / sizeof(float));
      kernels_.attention(qkv + begin * stride, shape, reinterpret_cast<uint8_t*>(scratch), begin, context);
    }
  }

  const Bf16Kernels& kernels_;
  const EncoderOps& f32_;
  const size_t hidden_;
  const size_t heads_;
  const size_t intermediate_size_;
  const Epilogue activation_;
  const float eps_;
  const std::unique_ptr<const Bf16Linear> qkv_;
  const std::unique_ptr<const Bf16Linear> attention_out_;
  const std::unique_ptr<const Bf16Linear> intermediate_;
  const std::unique_ptr<const Bf16Linear> output_;
  const EncoderLayerWeights::Norm attention_norm_;
  const EncoderLayerWeights::Norm output_norm_;
};

class Bf16Ops final : public EncoderOps {
 public:
  Bf16Ops(const Bf16Kernels& kernels, const CpuKernels& f32)
      : kernels_(kernels), f32_(MakeCpuOps(f32)), name_(absl::StrCat("cpu-", kernels.name)) {}

  absl::string_view name() const override { return name_; }
  absl::string_view precision() const override { return "bf16"; }

  std::unique_ptr<const PackedLinear> Pack(absl::Span<const float> weight, absl::Span<const float> bias, size_t inputs,
                                           size_t outputs, WeightArena& arena) const override {
    return PackBf16(kernels_, weight, bias, inputs, outputs, arena);
  }

  void Linear(const PackedLinear& packed, const float* in, size_t rows, Epilogue epilogue, Workspace& workspace,
              float* out) const override {
    const auto& linear = static_cast<const Bf16Linear&>(packed);
    const size_t entries = (rows + kRowsReadPastTheLast) * RoundUpToBf16Block(linear.in);
    uint16_t* converted = GetBf16(workspace, Workspace::kConverted, entries);
    kernels_.convert(in, rows, linear.in, converted);
    Bf16LinearArgs args = linear.Args(converted, rows, epilogue);
    args.out_f32 = out;
    kernels_.linear(args);
  }

  std::unique_ptr<const EncoderLayer> MakeLayer(EncoderLayerWeights weights, WeightArena& arena) const override {
    return std::make_unique<Bf16Layer>(kernels_, *f32_, std::move(weights), arena);
  }

  void Embed(const EmbeddingTables& tables, const PackedSequences& batch, float* out) const override {
    f32_->Embed(tables, batch, out);
  }
  void Attention(const float* qkv, absl::Span<const int32_t> offsets, size_t heads, size_t head_dim,
                 Workspace& workspace, float* out) const override {
    f32_->Attention(qkv, offsets, heads, head_dim, workspace, out);
  }
  void AddLayerNorm(float* x, const float* residual, absl::Span<const float> gamma, absl::Span<const float> beta,
                    float eps, size_t rows) const override {
    f32_->AddLayerNorm(x, residual, gamma, beta, eps, rows);
  }
  void Pool(const float* x, absl::Span<const int32_t> offsets, size_t hidden, Pooling pooling,
            float* out) const override {
    f32_->Pool(x, offsets, hidden, pooling, out);
  }
  void Normalize(float* x, size_t rows, size_t columns) const override { f32_->Normalize(x, rows, columns); }

 private:
  const Bf16Kernels& kernels_;
  const std::unique_ptr<const EncoderOps> f32_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<const EncoderOps> MakeCpuBf16Ops(const Bf16Kernels& kernels, const CpuKernels& f32) {
  return std::make_unique<Bf16Ops>(kernels, f32);
}

absl::StatusOr<std::unique_ptr<const EncoderOps>> MakeBestCpuOps(absl::string_view precision) {
  const CpuKernels& f32 = *SupportedKernels().entries[0];
  const Bf16KernelList bf16 = SupportedBf16Kernels();
  if (precision == "f32" || (precision == "auto" && bf16.count == 0)) return MakeCpuOps(f32);
  if (precision != "bf16" && precision != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("precision \"", precision, "\": expected auto, f32 or bf16"));
  }
  if (bf16.count == 0) {
    return absl::FailedPreconditionError(
        "precision bf16: this processor has no instructions for it (AMX or AVX-512 with BF16); use auto or f32");
  }
  return MakeCpuBf16Ops(*bf16.entries[0], f32);
}

}  // namespace alcove::inference
