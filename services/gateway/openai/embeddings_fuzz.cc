// Any body of POST /v1/embeddings.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "services/gateway/openai/embeddings_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string json(reinterpret_cast<const char*>(data), size);
  const auto request = alcove::gateway::ParseEmbeddingsRequest(json);
  if (request.ok() && (request->size() == 0 || (!request->texts.empty() && !request->tokens.empty()))) std::abort();
  return 0;
}
