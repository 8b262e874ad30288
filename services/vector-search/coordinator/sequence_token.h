// The tokens clients carry between calls: "shard:sequence,…" for reading what one has written, and page tokens. A
// sequence belongs to a placement of the collection; tokens of any but the first say which: "e2;0:17,3:4".
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/store/collection_store.h"
#include "libs/store/types.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxTokenBytes = 64 << 10;

// Shard and the sequence a reader wants applied there; shards ascending, each once.
using ShardSequences = std::vector<std::pair<int32_t, store::Sequence>>;

struct SequenceToken {
  int64_t epoch = 0;  // 0 for the empty token
  ShardSequences sequences;
};

// "0:17,3:4"; nothing for nothing.
std::string FormatSequenceToken(int64_t epoch, const ShardSequences& sequences);
// INVALID_ARGUMENT for anything FormatSequenceToken does not write, and for a shard at or past the placement's number
// when the token is of that placement.
absl::StatusOr<SequenceToken> ParseSequenceToken(absl::string_view token, const store::Placement& placement);

// A place in a walk through one collection by id. Opaque to clients.
std::string FormatPageToken(store::CollectionId collection, absl::string_view after_id);
// The id to go on after. INVALID_ARGUMENT for a token of another collection or of no collection at all.
absl::StatusOr<std::string> ParsePageToken(absl::string_view token, store::CollectionId collection);

}  // namespace alcove::vector_search
