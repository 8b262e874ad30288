#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace alcove::gateway {

// The body of POST /v1/embeddings.
struct EmbeddingsRequest {
  std::string model;
  std::vector<std::string> texts;             // exactly one of texts and tokens holds something
  std::vector<std::vector<uint32_t>> tokens;  // already tokenized
  bool base64 = false;                        // encoding_format
  uint32_t dimensions = 0;                    // 0: all

  size_t size() const { return texts.size() + tokens.size(); }
};

inline constexpr size_t kMaxEmbeddingInputs = 2048;

// `input` is a text, a list of texts, a list of token ids, or a list of such lists. Fields OpenAI has and Alcove has no
// use for (user) are ignored, and so are unknown ones. INVALID_ARGUMENT naming the field otherwise. `json` is only
// lent.
absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string& json);

}  // namespace alcove::gateway
