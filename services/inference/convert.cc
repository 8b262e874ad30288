#include "services/inference/convert.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::inference {
namespace {

absl::Status CheckCount(absl::string_view field, int count) {
  if (count <= kMaxTexts) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("has ", count, " entries; at most ", kMaxTexts, " are allowed"));
}

}  // namespace

void ToProto(const LoadedModel& model, bool is_default, v1::Model* out) {
  const EmbeddingModel& embedding = model.embedding();
  out->set_name(model.name());
  out->set_task(v1::MODEL_TASK_EMBED);
  out->set_dimension(static_cast<uint32_t>(embedding.dimension()));
  out->set_max_tokens(static_cast<uint32_t>(embedding.max_tokens()));
  out->set_precision(std::string(embedding.ops().precision()));
  out->set_device("cpu");
  out->set_weight_bytes(static_cast<int64_t>(embedding.memory_bytes()));
  out->set_parameters(embedding.parameters());
  out->set_architecture(embedding.encoder_config().architecture);
  out->set_is_default(is_default);
  out->set_created(absl::ToUnixSeconds(model.loaded_at()));
}

Priority ToPriority(v1::Priority priority, Criticality criticality) {
  switch (priority) {
    case v1::PRIORITY_LOW: return Priority::kLow;
    case v1::PRIORITY_NORMAL: return Priority::kNormal;
    case v1::PRIORITY_HIGH: return Priority::kHigh;
    case v1::PRIORITY_CRITICAL: return Priority::kCritical;
    default: break;
  }
  switch (criticality) {
    case Criticality::kCritical: return Priority::kCritical;
    case Criticality::kHigh: return Priority::kHigh;
    case Criticality::kNormal: return Priority::kNormal;
    case Criticality::kLow: return Priority::kLow;
  }
  return Priority::kNormal;
}

InputKind ToInputKind(v1::InputKind kind) {
  switch (kind) {
    case v1::INPUT_KIND_QUERY: return InputKind::kQuery;
    case v1::INPUT_KIND_DOCUMENT: return InputKind::kDocument;
    default: return InputKind::kUnspecified;
  }
}

absl::StatusOr<EmbedInput> ReadEmbedInput(const v1::EmbedRequest& request, const LoadedModel& model) {
  const EmbeddingModel& embedding = model.embedding();
  if (request.texts().empty() == request.tokens().empty()) {
    return InvalidField("texts", request.texts().empty() ? "give texts or tokens; both are empty"
                                                         : "give either texts or tokens, not both");
  }
  ALCOVE_RETURN_IF_ERROR(CheckCount("texts", request.texts_size()));
  ALCOVE_RETURN_IF_ERROR(CheckCount("tokens", request.tokens_size()));
  if (request.dimensions() > embedding.dimension()) {
    return InvalidField("dimensions", absl::StrCat("is ", request.dimensions(), "; vectors of model \"", model.name(),
                                                   "\" have ", embedding.dimension(), " components"));
  }

  EmbedInput input;
  const InputKind kind = ToInputKind(request.input_kind());
  for (int i = 0; i < request.texts_size(); ++i) {
    Encoding encoding = embedding.Tokenize(request.texts(i), kind);
    if (encoding.truncated && request.reject_long_texts()) {
      const size_t length = embedding.tokenizer().EncodeWithoutSpecialTokens(request.texts(i)).size() +
                            embedding.tokenizer().special_tokens_added();
      return InvalidField(
          absl::StrCat("texts[", i, "]"),
          absl::StrCat("has ", length, " tokens; model \"", model.name(), "\" reads at most ", embedding.max_tokens()));
    }
    input.truncated += encoding.truncated;
    input.tokens += static_cast<int64_t>(encoding.ids.size());
    input.sequences.push_back(std::move(encoding.ids));
  }
  for (int i = 0; i < request.tokens_size(); ++i) {
    std::vector<int32_t> ids;
    const auto& given = request.tokens(i).ids();
    ids.reserve(given.size());
    // Ids beyond 31 bits become negative and are refused by CheckIds.
    for (const uint32_t id : given) ids.push_back(static_cast<int32_t>(std::min<uint32_t>(id, 0x80000000u)));
    if (ids.size() > embedding.max_tokens() && !request.reject_long_texts()) {
      ids.resize(embedding.max_tokens());
      ++input.truncated;
    }
    if (const absl::Status status = embedding.CheckIds(ids); !status.ok()) {
      return InvalidField(absl::StrCat("tokens[", i, "]"), status.message());
    }
    input.tokens += static_cast<int64_t>(ids.size());
    input.sequences.push_back(std::move(ids));
  }
  return input;
}

void WriteEmbeddings(const EmbedResult& result, uint32_t dimensions, v1::EmbedResponse& response) {
  if (result.dimension == 0) return;
  const size_t keep = dimensions == 0 ? result.dimension : dimensions;
  const size_t count = result.values.size() / result.dimension;
  response.mutable_embeddings()->Reserve(static_cast<int>(count));
  for (size_t i = 0; i < count; ++i) {
    const float* vector = result.values.data() + i * result.dimension;
    float scale = 1.0f;
    if (dimensions != 0) {
      double squares = 0;
      for (size_t d = 0; d < keep; ++d) squares += static_cast<double>(vector[d]) * vector[d];
      scale = static_cast<float>(1.0 / std::max(std::sqrt(squares), 1e-12));
    }
    auto& values = *response.add_embeddings()->mutable_values();
    values.Resize(static_cast<int>(keep), 0.0f);
    for (size_t d = 0; d < keep; ++d) values[static_cast<int>(d)] = vector[d] * scale;
  }
}

}  // namespace alcove::inference
