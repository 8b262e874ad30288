#include "services/inference/engine/encoder.h"

#include <algorithm>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::inference {
namespace {

Epilogue EpilogueFor(Activation activation) {
  switch (activation) {
    case Activation::kGelu: return Epilogue::kGelu;
    case Activation::kGeluTanh: return Epilogue::kGeluTanh;
    case Activation::kRelu: return Epilogue::kRelu;
  }
  return Epilogue::kNone;
}

int64_t Extent(size_t value) { return static_cast<int64_t>(value); }

}  // namespace

absl::StatusOr<Encoder::Norm> Encoder::LoadNorm(const Weights& weights, const std::string& prefix) const {
  Norm norm;
  // Checkpoints converted from TensorFlow call them gamma and beta.
  const bool old_names = weights.Has(prefix + ".gamma");
  const int64_t shape[] = {Extent(config_.hidden_size)};
  ALCOVE_ASSIGN_OR_RETURN(norm.gamma, weights.ReadFloat(prefix + (old_names ? ".gamma" : ".weight"), shape));
  ALCOVE_ASSIGN_OR_RETURN(norm.beta, weights.ReadFloat(prefix + (old_names ? ".beta" : ".bias"), shape));
  return norm;
}

absl::StatusOr<std::unique_ptr<const PackedLinear>> Encoder::LoadLinear(const Weights& weights,
                                                                        const std::string& prefix, size_t inputs,
                                                                        size_t outputs) const {
  const int64_t weight_shape[] = {Extent(outputs), Extent(inputs)};
  const int64_t bias_shape[] = {Extent(outputs)};
  ALCOVE_ASSIGN_OR_RETURN(const std::vector<float> weight, weights.ReadFloat(prefix + ".weight", weight_shape));
  ALCOVE_ASSIGN_OR_RETURN(const std::vector<float> bias, weights.ReadFloat(prefix + ".bias", bias_shape));
  return ops_.Pack(weight, bias, inputs, outputs);
}

absl::Status Encoder::LoadLayer(const Weights& weights, const std::string& prefix) {
  const size_t hidden = config_.hidden_size;
  Layer layer;
  // Queries, keys and values are one product with three times the columns.
  std::vector<float> qkv_weight;
  std::vector<float> qkv_bias;
  for (const char* part : {"query", "key", "value"}) {
    const std::string name = absl::StrCat(prefix, "attention.self.", part);
    const int64_t weight_shape[] = {Extent(hidden), Extent(hidden)};
    const int64_t bias_shape[] = {Extent(hidden)};
    ALCOVE_ASSIGN_OR_RETURN(const std::vector<float> weight, weights.ReadFloat(name + ".weight", weight_shape));
    ALCOVE_ASSIGN_OR_RETURN(const std::vector<float> bias, weights.ReadFloat(name + ".bias", bias_shape));
    qkv_weight.insert(qkv_weight.end(), weight.begin(), weight.end());
    qkv_bias.insert(qkv_bias.end(), bias.begin(), bias.end());
  }
  layer.qkv = ops_.Pack(qkv_weight, qkv_bias, hidden, 3 * hidden);
  ALCOVE_ASSIGN_OR_RETURN(layer.attention_out, LoadLinear(weights, prefix + "attention.output.dense", hidden, hidden));
  ALCOVE_ASSIGN_OR_RETURN(layer.attention_norm, LoadNorm(weights, prefix + "attention.output.LayerNorm"));
  ALCOVE_ASSIGN_OR_RETURN(layer.intermediate,
                          LoadLinear(weights, prefix + "intermediate.dense", hidden, config_.intermediate_size));
  ALCOVE_ASSIGN_OR_RETURN(layer.output,
                          LoadLinear(weights, prefix + "output.dense", config_.intermediate_size, hidden));
  ALCOVE_ASSIGN_OR_RETURN(layer.output_norm, LoadNorm(weights, prefix + "output.LayerNorm"));
  layers_.push_back(std::move(layer));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Encoder>> Encoder::Load(const Weights& weights, const EncoderConfig& config,
                                                             const EncoderOps& ops) {
  std::unique_ptr<Encoder> encoder(new Encoder(config, ops));
  const std::string prefix = weights.Has("bert.embeddings.word_embeddings.weight") ? "bert." : "";
  const std::string tables = prefix + "embeddings.";
  const auto table = [&](absl::string_view name, size_t rows) {
    const int64_t shape[] = {Extent(rows), Extent(config.hidden_size)};
    return weights.ReadFloat(absl::StrCat(tables, name, ".weight"), shape);
  };
  ALCOVE_ASSIGN_OR_RETURN(const std::vector<float> words, table("word_embeddings", config.vocabulary_size));
  encoder->words_ = AlignedBuffer<float>(words.size(), HugePages::kTransparent);
  std::copy(words.begin(), words.end(), encoder->words_.begin());
  ALCOVE_ASSIGN_OR_RETURN(encoder->positions_, table("position_embeddings", config.max_positions));
  ALCOVE_ASSIGN_OR_RETURN(encoder->types_, table("token_type_embeddings", config.token_types));
  ALCOVE_ASSIGN_OR_RETURN(encoder->embedding_norm_, encoder->LoadNorm(weights, tables + "LayerNorm"));
  for (size_t i = 0; i < config.layers; ++i) {
    ALCOVE_RETURN_IF_ERROR(encoder->LoadLayer(weights, absl::StrCat(prefix, "encoder.layer.", i, ".")));
  }
  return std::unique_ptr<const Encoder>(std::move(encoder));
}

void Encoder::Forward(const PackedSequences& batch, Workspace& workspace, float* out) const {
  const size_t rows = batch.ids.size();
  const size_t hidden = config_.hidden_size;
  const size_t head_dim = hidden / config_.heads;
  const float eps = config_.layer_norm_eps;
  const Epilogue activation = EpilogueFor(config_.activation);
  float* qkv = workspace.Get(Workspace::kQkv, rows * 3 * hidden);
  float* context = workspace.Get(Workspace::kContext, rows * hidden);
  float* attended = workspace.Get(Workspace::kHidden, rows * hidden);
  float* intermediate = workspace.Get(Workspace::kIntermediate, rows * config_.intermediate_size);

  ops_.Embed({words_.span(), positions_, types_, hidden}, batch, out);
  ops_.AddLayerNorm(out, nullptr, embedding_norm_.gamma, embedding_norm_.beta, eps, rows);
  for (const Layer& layer : layers_) {
    ops_.Linear(*layer.qkv, out, rows, Epilogue::kNone, workspace, qkv);
    ops_.Attention(qkv, batch.offsets, config_.heads, head_dim, workspace, context);
    ops_.Linear(*layer.attention_out, context, rows, Epilogue::kNone, workspace, attended);
    ops_.AddLayerNorm(attended, out, layer.attention_norm.gamma, layer.attention_norm.beta, eps, rows);
    ops_.Linear(*layer.intermediate, attended, rows, activation, workspace, intermediate);
    ops_.Linear(*layer.output, intermediate, rows, Epilogue::kNone, workspace, out);
    ops_.AddLayerNorm(out, attended, layer.output_norm.gamma, layer.output_norm.beta, eps, rows);
  }
}

size_t Encoder::memory_bytes() const {
  const auto norm_bytes = [](const Norm& norm) { return (norm.gamma.size() + norm.beta.size()) * sizeof(float); };
  size_t bytes = (words_.size() + positions_.size() + types_.size()) * sizeof(float) + norm_bytes(embedding_norm_);
  for (const Layer& layer : layers_) {
    bytes += layer.qkv->memory_bytes() + layer.attention_out->memory_bytes() + layer.intermediate->memory_bytes() +
             layer.output->memory_bytes() + norm_bytes(layer.attention_norm) + norm_bytes(layer.output_norm);
  }
  return bytes;
}

}  // namespace alcove::inference
