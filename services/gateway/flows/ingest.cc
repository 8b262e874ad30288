#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/gateway/flows/documents.h"
#include "services/gateway/flows/embed.h"

namespace alcove::gateway {
namespace {

namespace vector = alcove::vector::v1;

absl::Status CheckDocuments(const v1::UpsertDocumentsRequest& request) {
  if (request.documents().empty()) return InvalidField("documents", "at least one is needed");
  if (request.documents_size() > kMaxDocuments) {
    return InvalidField("documents", absl::StrCat(request.documents_size(), " are too many; at most ", kMaxDocuments,
                                                  " go in one call"));
  }
  if (request.idempotency_key().size() > 128) return InvalidField("idempotency_key", "has more than 128 bytes");
  std::vector<FieldViolation> violations;
  for (int i = 0; i < request.documents_size() && violations.size() < 20; ++i) {
    const v1::Document& document = request.documents(i);
    const auto wrong = [&](std::string_view field, std::string text) {
      violations.push_back({absl::StrCat("documents[", i, "].", std::string(field)), std::move(text)});
    };
    if (document.text().empty()) wrong("text", "must not be empty");
    if (document.text().size() > kMaxTextBytes) {
      wrong("text", absl::StrCat("has ", document.text().size(), " bytes; at most ", kMaxTextBytes, " are taken"));
    }
    if (document.id().size() > kMaxIdBytes) wrong("id", absl::StrCat("has more than ", kMaxIdBytes, " bytes"));
    if (document.metadata().fields().contains(kTextField)) wrong("metadata.text", "this name holds the text itself");
  }
  return violations.empty() ? absl::OkStatus() : InvalidFields(std::move(violations));
}

}  // namespace

asio::awaitable<absl::StatusOr<v1::UpsertDocumentsResponse>> UpsertDocuments(
    FlowEnv& env, const RequestContext& ctx, const v1::UpsertDocumentsRequest& request) {
  if (absl::Status status = CheckDocuments(request); !status.ok()) co_return status;
  auto collection = co_await env.collections.GetWithModel(ctx, request.collection());
  if (!collection.ok()) co_return collection.status();

  StageTimer timer(env, "ingest");
  std::vector<std::string> texts;
  texts.reserve(static_cast<size_t>(request.documents_size()));
  for (const v1::Document& document : request.documents()) texts.push_back(document.text());
  absl::StatusOr<EmbeddedTexts> embedded =
      co_await EmbedDocuments(env, ctx, (*collection)->embedding_model(), std::move(texts));
  if (!embedded.ok()) co_return embedded.status();
  timer.End("embed");

  v1::UpsertDocumentsResponse response;
  response.set_prompt_tokens(embedded->prompt_tokens);
  vector::UpsertPointsRequest upsert;
  upsert.set_collection(request.collection());
  upsert.set_wait(request.wait());
  upsert.set_idempotency_key(request.idempotency_key());
  for (int i = 0; i < request.documents_size(); ++i) {
    const v1::Document& document = request.documents(i);
    vector::Point& point = *upsert.add_points();
    // The same text twice is the same document, so that repeating an upload does not multiply it.
    point.set_id(document.id().empty() ? absl::StrCat("doc-", Hash128(document.text()).hex()) : document.id());
    const std::vector<float>& values = embedded->vectors[static_cast<size_t>(i)];
    point.mutable_vector()->Add(values.begin(), values.end());
    *point.mutable_payload() = document.metadata();
    (*point.mutable_payload()->mutable_fields())[kTextField].set_string_value(document.text());
    response.add_ids(point.id());
  }
  if (const size_t bytes = upsert.ByteSizeLong(); bytes > kMaxUpsertBytes) {
    co_return WithReason(
        absl::InvalidArgumentError(absl::StrCat("the documents with their vectors take ", FormatBytes(bytes),
                                                "; send at most ", FormatBytes(kMaxUpsertBytes), " in one call")),
        "REQUEST_TOO_LARGE");
  }
  absl::StatusOr<vector::UpsertPointsResponse> stored =
      co_await CallBackend<vector::UpsertPointsResponse>(env.backends, ctx, methods::kUpsertPoints, upsert);
  if (!stored.ok()) {
    // It may have been removed, or made anew with another model, since it was last looked at.
    env.collections.Forget(ctx.tenant(), request.collection());
    co_return stored.status();
  }
  timer.End("store");
  // By its own name: answers found through an alias carry that, too.
  co_await env.cache.Invalidate(ctx, CollectionTag(ctx.tenant(), (*collection)->name()));
  response.set_sequence(stored->sequence());
  co_return response;
}

}  // namespace alcove::gateway
