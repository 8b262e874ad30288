#pragma once

#include "absl/status/status.h"
#include "alcove/vector/v1/vector.pb.h"
#include "services/gateway/flows/flow_env.h"

namespace alcove::gateway {

// Completes a request for a collection that names an embedding model: "default" becomes the model's real name, and the
// unnamed vector gets the model's dimension (and cosine) unless it says its own. A request without a model stays as it
// is. Unless the request says no or names sparse fields itself, a sparse field kTextIndexField over the documents'
// texts is added, for searches by words. INVALID_ARGUMENT when the model is not known, makes no embeddings, or has
// another dimension than the one given.
asio::awaitable<absl::Status> CompleteCollection(FlowEnv& env, const RequestContext& ctx,
                                                 alcove::vector::v1::CreateCollectionRequest& request);

}  // namespace alcove::gateway
