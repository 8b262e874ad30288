#include "services/gateway/openai/openai_api.h"

#include <bit>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/status.h"
#include "services/gateway/flows/parallel.h"
#include "services/gateway/openai/embeddings_request.h"
#include "services/gateway/rest/json_writer.h"

namespace alcove::gateway {
namespace {

namespace inference = alcove::inference::v1;

static_assert(std::endian::native == std::endian::little, "base64 embeddings are little-endian floats");

void AppendModel(const inference::Model& model, JsonBuilder& json) {
  json.BeginObject().Member("id", model.name()).Member("object", "model").Key("created").Integer(model.created());
  json.Member("owned_by", "alcove").EndObject();
}

void AppendVector(const google::protobuf::RepeatedField<float>& values, bool base64, std::string& out) {
  if (base64) {
    out.push_back('"');
    out += absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(values.data()),
                                                static_cast<size_t>(values.size()) * sizeof(float)));
    out.push_back('"');
    return;
  }
  out.push_back('[');
  for (int i = 0; i < values.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendJsonNumber(values[i], out);
  }
  out.push_back(']');
}

// Errors of a batch name its texts; the client knows them as elements of `input`.
absl::Status InTermsOfInput(absl::Status status, size_t first) {
  ErrorDetails details = GetErrorDetails(status);
  if (details.field_violations.empty()) return status;
  FieldViolation& violation = details.field_violations[0];
  absl::string_view field = violation.field;
  size_t index = 0;
  if (!absl::ConsumePrefix(&field, "texts[") && !absl::ConsumePrefix(&field, "tokens[")) return status;
  if (!absl::ConsumeSuffix(&field, "]") || !absl::SimpleAtoi(field, &index)) return status;
  violation.field = absl::StrCat("input[", first + index, "]");
  absl::Status renamed(status.code(), absl::StrCat(violation.field, ": ", violation.description));
  SetErrorDetails(renamed, details);
  return renamed;
}

}  // namespace

asio::awaitable<absl::StatusOr<std::string>> OpenAiEmbeddings(FlowEnv& env, const RequestContext& ctx,
                                                              std::string body) {
  absl::StatusOr<EmbeddingsRequest> request = ParseEmbeddingsRequest(body);
  if (!request.ok()) co_return request.status();
  body.clear();
  absl::StatusOr<inference::Model> model = co_await env.models.FindEmbedder(ctx, request->model);
  if (!model.ok()) co_return model.status();
  if (request->dimensions > model->dimension()) {
    co_return InvalidField("dimensions", absl::StrCat("the vectors of ", model->name(), " have ", model->dimension()));
  }

  const size_t size = env.options.batch_size;
  const size_t batches = (request->size() + size - 1) / size;
  std::vector<inference::EmbedResponse> replies(batches);
  absl::Status failure;
  auto run = [&](size_t batch) -> asio::awaitable<bool> {
    inference::EmbedRequest part;
    part.set_model(model->name());
    part.set_dimensions(request->dimensions);
    part.set_reject_long_texts(true);
    const size_t end = std::min(request->size(), (batch + 1) * size);
    for (size_t i = batch * size; i < end; ++i) {
      if (!request->texts.empty()) {
        part.add_texts(std::move(request->texts[i]));
      } else {
        part.add_tokens()->mutable_ids()->Add(request->tokens[i].begin(), request->tokens[i].end());
      }
    }
    absl::StatusOr<inference::EmbedResponse> reply =
        co_await CallBackend<inference::EmbedResponse>(env.backends, ctx, methods::kEmbed, part);
    absl::Status status = reply.status();
    if (reply.ok() && static_cast<size_t>(reply->embeddings_size()) != end - batch * size) {
      status = absl::InternalError("the model answered another number of vectors than texts");
    }
    if (!status.ok()) {
      if (failure.ok()) failure = InTermsOfInput(std::move(status), batch * size);
      co_return false;
    }
    replies[batch] = *std::move(reply);
    co_return true;
  };
  co_await ForEachParallel(batches, env.options.parallel_batches, std::move(run));
  if (!failure.ok()) co_return failure;

  JsonBuilder json;
  json.BeginObject().Member("object", "list").Key("data").BeginArray();
  int64_t index = 0;
  int64_t tokens = 0;
  for (const inference::EmbedResponse& reply : replies) {
    tokens += reply.prompt_tokens();
    for (const inference::Embedding& embedding : reply.embeddings()) {
      json.BeginObject().Member("object", "embedding").Key("index").Integer(index++).Key("embedding");
      AppendVector(embedding.values(), request->base64, json.text());
      json.EndObject();
    }
  }
  json.EndArray().Member("model", model->name()).Key("usage").BeginObject();
  json.Key("prompt_tokens").Integer(tokens).Key("total_tokens").Integer(tokens).EndObject().EndObject();
  co_return json.Take();
}

asio::awaitable<absl::StatusOr<std::string>> OpenAiListModels(FlowEnv& env, const RequestContext& ctx) {
  auto models = co_await env.models.List(ctx);
  if (!models.ok()) co_return models.status();
  JsonBuilder json;
  json.BeginObject().Member("object", "list").Key("data").BeginArray();
  for (const inference::Model& model : (*models)->models()) AppendModel(model, json);
  json.EndArray().EndObject();
  co_return json.Take();
}

asio::awaitable<absl::StatusOr<std::string>> OpenAiGetModel(FlowEnv& env, const RequestContext& ctx, std::string id) {
  auto models = co_await env.models.List(ctx);
  if (!models.ok()) co_return models.status();
  for (const inference::Model& model : (*models)->models()) {
    if (model.name() != id) continue;
    JsonBuilder json;
    AppendModel(model, json);
    co_return json.Take();
  }
  co_return NotFound("model", id);
}

absl::Status OpenAiGenerationStatus() { return NotBuilt("text generation"); }

}  // namespace alcove::gateway
