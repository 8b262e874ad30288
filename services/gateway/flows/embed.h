#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/gateway/flows/flow_env.h"

namespace alcove::gateway {

struct EmbeddedTexts {
  std::vector<std::vector<float>> vectors;  // one for each text, in order
  int64_t prompt_tokens = 0;
};

// The vector of a search phrase, from the cache when it is there.
asio::awaitable<absl::StatusOr<std::vector<float>>> EmbedQuery(FlowEnv& env, const RequestContext& ctx,
                                                               std::string model, std::string text);

// The vectors of texts to be found, in batches of options.batch_size, options.parallel_batches at once. All or nothing:
// the first error ends it.
asio::awaitable<absl::StatusOr<EmbeddedTexts>> EmbedDocuments(FlowEnv& env, const RequestContext& ctx,
                                                              std::string model, std::vector<std::string> texts);

}  // namespace alcove::gateway
