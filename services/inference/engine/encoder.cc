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

absl::StatusOr<Encoder::Matrix> Encoder::LoadMatrix(const Weights& weights, const std::string& prefix, size_t inputs,
                                                    size_t outputs) {
  const int64_t weight_shape[] = {Extent(outputs), Extent(inputs)};
  const int64_t bias_shape[] = {Extent(outputs)};
  Matrix matrix;
  ALCOVE_ASSIGN_OR_RETURN(matrix.weight, weights.ReadFloat(prefix + ".weight", weight_shape));
  ALCOVE_ASSIGN_OR_RETURN(matrix.bias, weights.ReadFloat(prefix + ".bias", bias_shape));
  return matrix;
}

absl::Status Encoder::LoadLayer(const Weights& weights, const std::string& prefix) {
  const size_t hidden = config_.hidden_size;
  EncoderLayerWeights layer;
  layer.hidden = hidden;
  layer.heads = config_.heads;
  layer.intermediate_size = config_.intermediate_size;
  layer.activation = EpilogueFor(config_.activation);
  layer.eps = config_.layer_norm_eps;
  // Queries, keys and values are one product with three times the columns.
  for (const char* part : {"query", "key", "value"}) {
    const std::string name = absl::StrCat(prefix, "attention.self.", part);
    ALCOVE_ASSIGN_OR_RETURN(const Matrix matrix, LoadMatrix(weights, name, hidden, hidden));
    layer.qkv.weight.insert(layer.qkv.weight.end(), matrix.weight.begin(), matrix.weight.end());
    layer.qkv.bias.insert(layer.qkv.bias.end(), matrix.bias.begin(), matrix.bias.end());
  }
  ALCOVE_ASSIGN_OR_RETURN(layer.attention_out, LoadMatrix(weights, prefix + "attention.output.dense", hidden, hidden));
  ALCOVE_ASSIGN_OR_RETURN(layer.attention_norm, LoadNorm(weights, prefix + "attention.output.LayerNorm"));
  ALCOVE_ASSIGN_OR_RETURN(layer.intermediate,
                          LoadMatrix(weights, prefix + "intermediate.dense", hidden, layer.intermediate_size));
  ALCOVE_ASSIGN_OR_RETURN(layer.output, LoadMatrix(weights, prefix + "output.dense", layer.intermediate_size, hidden));
  ALCOVE_ASSIGN_OR_RETURN(layer.output_norm, LoadNorm(weights, prefix + "output.LayerNorm"));
  layers_.push_back(ops_.MakeLayer(std::move(layer), arena_));
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
  ops_.Embed({words_.span(), positions_, types_, config_.hidden_size}, batch, out);
  ops_.AddLayerNorm(out, nullptr, embedding_norm_.gamma, embedding_norm_.beta, config_.layer_norm_eps,
                    batch.ids.size());
  for (const auto& layer : layers_) layer->Forward(batch.offsets, workspace, out);
}

size_t Encoder::memory_bytes() const {
  // The norms inside layers are too small to count.
  return (words_.size() + positions_.size() + types_.size() + 2 * embedding_norm_.gamma.size()) * sizeof(float) +
         arena_.bytes();
}

}  // namespace alcove::inference
