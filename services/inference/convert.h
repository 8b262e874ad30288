// Between the domain's values and the protos.
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/request_context.h"
#include "services/inference/catalog.h"
#include "services/inference/scheduler/batcher.h"

namespace alcove::inference {

// Most texts of one request.
inline constexpr int kMaxTexts = 2048;

void ToProto(const LoadedModel& model, bool is_default, v1::Model* out);

// The request's own priority, or the one its context's criticality stands for.
Priority ToPriority(v1::Priority priority, Criticality criticality);
InputKind ToInputKind(v1::InputKind kind);

// The token sequences of an Embed request, with what the response says about them.
struct EmbedInput {
  std::vector<std::vector<int32_t>> sequences;
  int64_t tokens = 0;
  uint32_t truncated = 0;
};
// Tokenizes texts and checks token ids. INVALID_ARGUMENT naming the field that is wrong: both or neither of texts and
// tokens, too many of them, dimensions out of range, ids outside the vocabulary, and — if the request says so — a text
// that is too long.
absl::StatusOr<EmbedInput> ReadEmbedInput(const v1::EmbedRequest& request, const LoadedModel& model);

// Writes the vectors; with `dimensions` > 0 only their first components, scaled to length 1.
void WriteEmbeddings(const EmbedResult& result, uint32_t dimensions, v1::EmbedResponse& response);

}  // namespace alcove::inference
