#include "services/gateway/flows/model_catalog.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::gateway {

using alcove::inference::v1::ListModelsRequest;
using alcove::inference::v1::ListModelsResponse;
using alcove::inference::v1::Model;

asio::awaitable<absl::StatusOr<std::shared_ptr<const ListModelsResponse>>> ModelCatalog::List(
    const RequestContext& ctx) {
  const int64_t now = clock_->MonotonicNanos();
  if (models_ != nullptr && now - read_ns_ < absl::ToInt64Nanoseconds(kTtl)) co_return models_;
  const ListModelsRequest request;
  absl::StatusOr<ListModelsResponse> reply =
      co_await CallBackend<ListModelsResponse>(backends_, ctx, methods::kListModels, request);
  if (!reply.ok()) co_return reply.status();
  models_ = std::make_shared<const ListModelsResponse>(*std::move(reply));
  read_ns_ = now;
  co_return models_;
}

asio::awaitable<absl::StatusOr<Model>> ModelCatalog::FindEmbedder(const RequestContext& ctx, std::string name) {
  auto listed = co_await List(ctx);
  if (!listed.ok()) co_return listed.status();
  const bool wants_default = name.empty() || name == "default";
  const Model* found = nullptr;
  std::string known;
  for (const Model& model : (*listed)->models()) {
    const bool embeds = model.task() == alcove::inference::v1::MODEL_TASK_EMBED;
    if (embeds) absl::StrAppend(&known, known.empty() ? "" : ", ", model.name());
    if (wants_default ? embeds && (model.is_default() || found == nullptr) : model.name() == name) found = &model;
  }
  if (found == nullptr) {
    const absl::Status missing = NotFound("model", wants_default ? "default" : name);
    absl::Status told =
        absl::NotFoundError(known.empty() ? absl::StrCat(missing.message(), "; no embedding model is loaded")
                                          : absl::StrCat(missing.message(), "; embedding models here: ", known));
    SetErrorDetails(told, GetErrorDetails(missing));
    co_return told;
  }
  if (found->task() != alcove::inference::v1::MODEL_TASK_EMBED) {
    co_return absl::FailedPreconditionError(
        absl::StrCat("model \"", found->name(), "\" does not make embeddings; those that do: ", known));
  }
  co_return *found;
}

}  // namespace alcove::gateway
