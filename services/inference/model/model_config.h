// What a Hugging Face / sentence-transformers folder says about an encoder model, besides its weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

namespace alcove::inference {

enum class Activation { kGelu, kGeluTanh, kRelu };

// config.json of the BERT family. All sizes are positive; hidden_size is a multiple of heads.
struct EncoderConfig {
  std::string architecture;  // e.g. BertModel
  size_t vocabulary_size = 0;
  size_t hidden_size = 0;
  size_t layers = 0;
  size_t heads = 0;
  size_t intermediate_size = 0;
  size_t max_positions = 0;
  size_t token_types = 0;
  float layer_norm_eps = 1e-12f;
  Activation activation = Activation::kGelu;
  int32_t pad_token_id = 0;
};

enum class Pooling { kMean, kCls, kMax };

// How token vectors become one sentence vector, and what is put before a text.
struct EmbeddingConfig {
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
  size_t max_tokens = 0;  // special tokens included; at most the model's positions
  std::string default_prompt;
  std::string query_prompt;
  std::string document_prompt;
};

// Reads config.json. NOT_FOUND when it is missing; INVALID_ARGUMENT naming file and field when a value is missing, out
// of range or of a kind that is not built (other architectures, relative positions, other activations).
absl::StatusOr<EncoderConfig> ReadEncoderConfig(const std::string& folder);

// Reads modules.json, the pooling module's config.json, sentence_bert_config.json, tokenizer_config.json and
// config_sentence_transformers.json, each optional: a folder without modules.json pools by mean and does not normalise,
// as sentence-transformers treats it. INVALID_ARGUMENT on modules or pooling modes that are not built.
absl::StatusOr<EmbeddingConfig> ReadEmbeddingConfig(const std::string& folder, const EncoderConfig& encoder);

}  // namespace alcove::inference
