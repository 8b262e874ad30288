// A sentence-embedding model: tokenizer, encoder, pooling.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/inference/engine/encoder.h"
#include "services/inference/model/model_config.h"
#include "services/inference/model/tokenizer.h"

namespace alcove::inference {

// What a text to embed is for; models with prompts treat the kinds differently.
enum class InputKind { kUnspecified, kQuery, kDocument };

// Immutable, thread safe.
class EmbeddingModel {
 public:
  // Reads a Hugging Face folder. `ops` outlives the model. Errors name the missing or malformed file, field or tensor.
  static absl::StatusOr<std::unique_ptr<const EmbeddingModel>> Load(const std::string& folder, const EncoderOps& ops);

  // Token ids of `text` with the prompt of its kind and special tokens, cut to max_tokens().
  Encoding Tokenize(absl::string_view text, InputKind kind) const;

  // INVALID_ARGUMENT unless `ids` has 1 .. max_tokens() entries, each in the vocabulary.
  absl::Status CheckIds(absl::Span<const int32_t> ids) const;

  // out[n, dimension()]: the pooled (and, if the model says so, normalised) vectors of n sequences that pass CheckIds.
  // Each vector is bit-identical whatever sequences it is computed with.
  void Embed(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace, float* out) const;

  size_t dimension() const { return encoder_->config().hidden_size; }
  size_t max_tokens() const { return embedding_.max_tokens; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const EncoderConfig& encoder_config() const { return encoder_->config(); }
  const EmbeddingConfig& embedding_config() const { return embedding_; }
  const EncoderOps& ops() const { return ops_; }
  int64_t parameters() const { return parameters_; }
  // Bytes held for weights, tables and vocabulary.
  size_t memory_bytes() const { return encoder_->memory_bytes() + tokenizer_->memory_bytes(); }

 private:
  explicit EmbeddingModel(const EncoderOps& ops) : ops_(ops) {}
  void EmbedGroup(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace, float* out) const;

  const EncoderOps& ops_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const Encoder> encoder_;
  EmbeddingConfig embedding_;
  int64_t parameters_ = 0;
};

}  // namespace alcove::inference
