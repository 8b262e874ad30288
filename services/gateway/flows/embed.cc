#include "services/gateway/flows/embed.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "services/gateway/flows/parallel.h"

namespace alcove::gateway {
namespace {

namespace inference = alcove::inference::v1;

// A namespace has at most 128 bytes.
std::string NamespaceOf(const std::string& model) {
  std::string name = absl::StrCat("embedding:", model);
  return name.size() <= 128 ? name : absl::StrCat("embedding:", Hash128(model).hex());
}

std::string ToBytes(const std::vector<float>& vector) {
  return std::string(reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float));
}

std::vector<float> FromBytes(const std::string& bytes) {
  std::vector<float> vector(bytes.size() / sizeof(float));
  std::memcpy(vector.data(), bytes.data(), vector.size() * sizeof(float));
  return vector;
}

absl::Status CheckCount(const inference::EmbedResponse& reply, size_t expected) {
  if (static_cast<size_t>(reply.embeddings_size()) == expected) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the model answered ", reply.embeddings_size(), " vectors for ", expected, " texts"));
}

}  // namespace

asio::awaitable<absl::StatusOr<std::vector<float>>> EmbedQuery(FlowEnv& env, const RequestContext& ctx,
                                                               std::string model, std::string text) {
  const bool cached = env.options.cache_embeddings;
  const std::string key = absl::StrCat("q", Hash128(text).hex());
  if (cached) {
    AnswerCache::Lookup lookup = co_await env.cache.Get(ctx, NamespaceOf(model), key, absl::ZeroDuration());
    if (lookup.value && !lookup.value->empty() && lookup.value->size() % sizeof(float) == 0) {
      co_return FromBytes(*lookup.value);
    }
  }
  inference::EmbedRequest request;
  request.set_model(model);
  request.add_texts(std::move(text));
  request.set_input_kind(inference::INPUT_KIND_QUERY);
  request.set_priority(inference::PRIORITY_HIGH);
  absl::StatusOr<inference::EmbedResponse> reply =
      co_await CallBackend<inference::EmbedResponse>(env.backends, ctx, methods::kEmbed, request);
  if (!reply.ok()) co_return reply.status();
  if (absl::Status status = CheckCount(*reply, 1); !status.ok()) co_return status;
  const auto& values = reply->embeddings(0).values();
  std::vector<float> vector(values.begin(), values.end());
  if (cached) env.cache.Put(ctx, NamespaceOf(model), key, ToBytes(vector), env.options.embedding_ttl, {}, "");
  co_return vector;
}

asio::awaitable<absl::StatusOr<EmbeddedTexts>> EmbedDocuments(FlowEnv& env, const RequestContext& ctx,
                                                              std::string model, std::vector<std::string> texts) {
  EmbeddedTexts result;
  result.vectors.resize(texts.size());
  const size_t size = env.options.batch_size;
  const size_t batches = (texts.size() + size - 1) / size;
  absl::Status failure;
  auto run = [&](size_t batch) -> asio::awaitable<bool> {
    const size_t begin = batch * size;
    const size_t end = std::min(texts.size(), begin + size);
    inference::EmbedRequest request;
    request.set_model(model);
    request.set_input_kind(inference::INPUT_KIND_DOCUMENT);
    for (size_t i = begin; i < end; ++i) request.add_texts(std::move(texts[i]));
    absl::StatusOr<inference::EmbedResponse> reply =
        co_await CallBackend<inference::EmbedResponse>(env.backends, ctx, methods::kEmbed, request);
    absl::Status status = reply.ok() ? CheckCount(*reply, end - begin) : reply.status();
    if (!status.ok()) {
      if (failure.ok()) failure = std::move(status);
      co_return false;
    }
    result.prompt_tokens += reply->prompt_tokens();
    for (size_t i = begin; i < end; ++i) {
      const auto& values = reply->embeddings(static_cast<int>(i - begin)).values();
      result.vectors[i].assign(values.begin(), values.end());
    }
    co_return true;
  };
  co_await ForEachParallel(batches, env.options.parallel_batches, std::move(run));
  if (!failure.ok()) co_return failure;
  co_return result;
}

}  // namespace alcove::gateway
