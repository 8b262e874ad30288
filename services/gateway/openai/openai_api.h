#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gateway/flows/flow_env.h"

// Each returns the JSON of a good answer, or the status OpenAiErrorJson and HttpStatusFromCode turn into a bad one.
namespace alcove::gateway {

// POST /v1/embeddings. A text longer than the model takes is an error, as with OpenAI: nothing is cut silently.
asio::awaitable<absl::StatusOr<std::string>> OpenAiEmbeddings(FlowEnv& env, const RequestContext& ctx,
                                                              std::string body);

// GET /v1/models: the loaded models.
asio::awaitable<absl::StatusOr<std::string>> OpenAiListModels(FlowEnv& env, const RequestContext& ctx);

// GET /v1/models/{id}.
asio::awaitable<absl::StatusOr<std::string>> OpenAiGetModel(FlowEnv& env, const RequestContext& ctx, std::string id);

// POST /v1/chat/completions and /v1/completions: UNIMPLEMENTED in this release.
absl::Status OpenAiGenerationStatus();

}  // namespace alcove::gateway
