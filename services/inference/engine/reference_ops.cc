#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

struct ReferenceLinear final : PackedLinear {
  absl::Span<float> weight;  // [outputs, inputs]
  absl::Span<float> bias;
  size_t in = 0;
  size_t out = 0;

  size_t inputs() const override { return in; }
  size_t outputs() const override { return out; }
};

double ApplyEpilogue(Epilogue epilogue, double x) {
  switch (epilogue) {
    case Epilogue::kGelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Epilogue::kGeluTanh: return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Epilogue::kRelu: return std::max(x, 0.0);
    case Epilogue::kNone: break;
  }
  return x;
}

class ReferenceOps final : public EncoderOps {
 public:
  absl::string_view name() const override { return "reference"; }
  absl::string_view precision() const override { return "f32"; }

  std::unique_ptr<const PackedLinear> Pack(absl::Span<const float> weight, absl::Span<const float> bias, size_t inputs,
                                           size_t outputs, WeightArena& arena) const override {
    auto linear = std::make_unique<ReferenceLinear>();
    linear->weight = arena.Allocate<float>(weight.size());
    linear->bias = arena.Allocate<float>(bias.size());
    std::copy(weight.begin(), weight.end(), linear->weight.begin());
    std::copy(bias.begin(), bias.end(), linear->bias.begin());
    linear->in = inputs;
    linear->out = outputs;
    return linear;
  }

  void Linear(const PackedLinear& packed, const float* in, size_t rows, Epilogue epilogue, Workspace&,
              float* out) const override {
    const auto& linear = static_cast<const ReferenceLinear&>(packed);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t o = 0; o < linear.out; ++o) {
        double sum = linear.bias[o];
        for (size_t i = 0; i < linear.in; ++i)
          sum += static_cast<double>(in[r * linear.in + i]) * linear.weight[o * linear.in + i];
        out[r * linear.out + o] = static_cast<float>(ApplyEpilogue(epilogue, sum));
      }
    }
  }

  void Embed(const EmbeddingTables& tables, const PackedSequences& batch, float* out) const override {
    const size_t hidden = tables.hidden;
    for (size_t s = 0; s < batch.count(); ++s) {
      for (int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t) {
        const size_t word = batch.ids[t];
        const size_t type = batch.type_ids.empty() ? 0 : batch.type_ids[t];
        const size_t position = t - batch.offsets[s];
        for (size_t h = 0; h < hidden; ++h) {
          out[t * hidden + h] = (tables.words[word * hidden + h] + tables.types[type * hidden + h]) +
                                tables.positions[position * hidden + h];
        }
      }
    }
  }

  void Attention(const float* qkv, absl::Span<const int32_t> offsets, size_t heads, size_t head_dim, Workspace&,
                 float* out) const override {
    const size_t hidden = heads * head_dim;
    const size_t stride = 3 * hidden;
    std::vector<double> weights;
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      const size_t begin = offsets[s];
      const size_t tokens = offsets[s + 1] - begin;
      weights.resize(tokens);
      for (size_t head = 0; head < heads; ++head) {
        for (size_t q = 0; q < tokens; ++q) {
          const float* query = qkv + (begin + q) * stride + head * head_dim;
          double top = -INFINITY;
          for (size_t k = 0; k < tokens; ++k) {
            const float* key = qkv + (begin + k) * stride + hidden + head * head_dim;
            double dot = 0;
            for (size_t d = 0; d < head_dim; ++d) dot += static_cast<double>(query[d]) * key[d];
            weights[k] = dot / std::sqrt(static_cast<double>(head_dim));
            top = std::max(top, weights[k]);
          }
          double total = 0;
          for (double& weight : weights) total += weight = std::exp(weight - top);
          for (size_t d = 0; d < head_dim; ++d) {
            double sum = 0;
            for (size_t k = 0; k < tokens; ++k) {
              sum += weights[k] * qkv[(begin + k) * stride + 2 * hidden + head * head_dim + d];
            }
            out[(begin + q) * hidden + head * head_dim + d] = static_cast<float>(sum / total);
          }
        }
      }
    }
  }

  void AddLayerNorm(float* x, const float* residual, absl::Span<const float> gamma, absl::Span<const float> beta,
                    float eps, size_t rows) const override {
    const size_t columns = gamma.size();
    for (size_t r = 0; r < rows; ++r, x += columns) {
      double mean = 0;
      for (size_t i = 0; i < columns; ++i) {
        if (residual != nullptr) x[i] += residual[r * columns + i];
        mean += x[i];
      }
      mean /= static_cast<double>(columns);
      double variance = 0;
      for (size_t i = 0; i < columns; ++i) variance += (x[i] - mean) * (x[i] - mean);
      const double inverse = 1.0 / std::sqrt(variance / static_cast<double>(columns) + eps);
      for (size_t i = 0; i < columns; ++i) x[i] = static_cast<float>((x[i] - mean) * inverse * gamma[i] + beta[i]);
    }
  }

  void Pool(const float* x, absl::Span<const int32_t> offsets, size_t hidden, Pooling pooling,
            float* out) const override {
    for (size_t s = 0; s + 1 < offsets.size(); ++s, out += hidden) {
      const size_t begin = offsets[s];
      const size_t end = offsets[s + 1];
      for (size_t h = 0; h < hidden; ++h) {
        if (pooling == Pooling::kCls) {
          out[h] = x[begin * hidden + h];
          continue;
        }
        double sum = 0;
        float top = -INFINITY;
        for (size_t t = begin; t < end; ++t) {
          sum += x[t * hidden + h];
          top = std::max(top, x[t * hidden + h]);
        }
        out[h] = pooling == Pooling::kMax ? top : static_cast<float>(sum / static_cast<double>(end - begin));
      }
    }
  }

  void Normalize(float* x, size_t rows, size_t columns) const override {
    for (size_t r = 0; r < rows; ++r, x += columns) {
      double sum = 0;
      for (size_t i = 0; i < columns; ++i) sum += static_cast<double>(x[i]) * x[i];
      const double length = std::max(std::sqrt(sum), 1e-12);
      for (size_t i = 0; i < columns; ++i) x[i] = static_cast<float>(x[i] / length);
    }
  }
};

}  // namespace

std::unique_ptr<const EncoderOps> MakeReferenceOps() { return std::make_unique<ReferenceOps>(); }

}  // namespace alcove::inference
