#include "services/inference/engine/embedding_model.h"

#include <filesystem>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::inference {
namespace {

// Sequences are run in groups of about this many tokens: enough rows for the matrix products to run at full speed, few
// enough that a layer's activations stay in the second-level cache.
constexpr size_t kGroupTokens = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<const EmbeddingModel>> EmbeddingModel::Load(const std::string& folder,
                                                                           const EncoderOps& ops) {
  if (!std::filesystem::is_directory(folder)) {
    return absl::NotFoundError(absl::StrCat("model folder ", folder, " does not exist"));
  }
  std::unique_ptr<EmbeddingModel> model(new EmbeddingModel(ops));
  ALCOVE_ASSIGN_OR_RETURN(const EncoderConfig config, ReadEncoderConfig(folder));
  ALCOVE_ASSIGN_OR_RETURN(model->embedding_, ReadEmbeddingConfig(folder, config));
  ALCOVE_ASSIGN_OR_RETURN(model->tokenizer_, Tokenizer::FromFolder(folder));
  if (model->tokenizer_->vocabulary_size() > config.vocabulary_size) {
    return absl::InvalidArgumentError(absl::StrCat("model folder ", folder, ": the tokenizer has ",
                                                   model->tokenizer_->vocabulary_size(), " tokens, config.json only ",
                                                   config.vocabulary_size));
  }
  if (model->embedding_.max_tokens <= model->tokenizer_->special_tokens_added()) {
    return absl::InvalidArgumentError(absl::StrCat("model folder ", folder, ": a limit of ",
                                                   model->embedding_.max_tokens,
                                                   " tokens leaves no room beside the special tokens"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const Weights weights, Weights::Open(folder));
  ALCOVE_ASSIGN_OR_RETURN(model->encoder_, Encoder::Load(weights, config, ops));
  model->parameters_ = weights.parameters();
  return std::unique_ptr<const EmbeddingModel>(std::move(model));
}

Encoding EmbeddingModel::Tokenize(absl::string_view text, InputKind kind) const {
  const std::string& prompt = kind == InputKind::kQuery      ? embedding_.query_prompt
                              : kind == InputKind::kDocument ? embedding_.document_prompt
                                                             : embedding_.default_prompt;
  if (prompt.empty()) return tokenizer_->Encode(text, embedding_.max_tokens);
  return tokenizer_->Encode(absl::StrCat(prompt, text), embedding_.max_tokens);
}

absl::Status EmbeddingModel::CheckIds(absl::Span<const int32_t> ids) const {
  if (ids.empty()) return absl::InvalidArgumentError("a token list is empty");
  if (ids.size() > embedding_.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token list has ", ids.size(), " tokens; the model reads at most ", embedding_.max_tokens));
  }
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= encoder_->config().vocabulary_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token id ", id, " is outside the model's vocabulary of ", encoder_->config().vocabulary_size));
    }
  }
  return absl::OkStatus();
}

void EmbeddingModel::Embed(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace,
                           float* out) const {
  size_t begin = 0;
  while (begin < sequences.size()) {
    size_t end = begin + 1;
    size_t tokens = sequences[begin].size();
    while (end < sequences.size() && tokens + sequences[end].size() <= kGroupTokens) tokens += sequences[end++].size();
    EmbedGroup(sequences.subspan(begin, end - begin), workspace, out + begin * dimension());
    begin = end;
  }
}

void EmbeddingModel::EmbedGroup(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace,
                                float* out) const {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets = {0};
  for (const absl::Span<const int32_t>& sequence : sequences) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    offsets.push_back(static_cast<int32_t>(ids.size()));
  }
  float* hidden = workspace.Get(Workspace::kPooled, ids.size() * dimension());
  encoder_->Forward({ids, {}, offsets}, workspace, hidden);
  ops_.Pool(hidden, offsets, dimension(), embedding_.pooling, out);
  if (embedding_.normalize) ops_.Normalize(out, sequences.size(), dimension());
}

}  // namespace alcove::inference
