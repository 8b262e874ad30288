#include "services/gateway/flows/collection_setup.h"

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "services/gateway/flows/documents.h"

namespace alcove::gateway {

namespace vector = alcove::vector::v1;

asio::awaitable<absl::Status> CompleteCollection(FlowEnv& env, const RequestContext& ctx,
                                                 vector::CreateCollectionRequest& request) {
  vector::Collection& collection = *request.mutable_collection();
  if (collection.embedding_model().empty()) co_return absl::OkStatus();
  absl::StatusOr<alcove::inference::v1::Model> model =
      co_await env.models.FindEmbedder(ctx, collection.embedding_model());
  if (!model.ok()) {
    const absl::StatusCode code = model.status().code();
    const bool wrong = code == absl::StatusCode::kNotFound || code == absl::StatusCode::kFailedPrecondition;
    co_return wrong ? InvalidField("embedding_model", model.status().message())
                    : Annotate(model.status(), "the embedding model cannot be looked up");
  }
  collection.set_embedding_model(model->name());
  if (!collection.vectors().empty() && !collection.vectors().contains("")) {
    co_return InvalidField("vectors",
                           "a collection with an embedding model needs the unnamed vector \"\"; leave vectors "
                           "out to have it made");
  }
  vector::VectorConfig& config = (*collection.mutable_vectors())[""];
  if (config.dimension() == 0) config.set_dimension(model->dimension());
  if (config.dimension() != model->dimension()) {
    co_return InvalidField("vectors", absl::StrCat("dimension ", config.dimension(), " does not fit the model ",
                                                   model->name(), ", whose vectors have ", model->dimension()));
  }
  if (config.metric() == vector::METRIC_UNSPECIFIED) config.set_metric(vector::METRIC_COSINE);
  if (collection.sparse().empty() && !request.no_text_index() && !collection.vectors().contains(kTextIndexField)) {
    (*collection.mutable_sparse())[kTextIndexField].set_text_field(kTextField);
  }
  co_return absl::OkStatus();
}

}  // namespace alcove::gateway
