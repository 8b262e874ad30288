#pragma once

// Which shard a point belongs to: jump consistent hash over xxh3-64 of the point id. Growing from n to n + 1 shards
// moves 1/(n + 1) of the points, all of them to the new shard.
// Source: J. Lamping, E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014, arXiv:1406.2294.

#include <cstdint>

#include "absl/strings/string_view.h"

namespace alcove::vector_search {

// Bucket in [0, buckets) for a well-mixed key. `buckets` >= 1. O(log buckets).
int32_t JumpConsistentHash(uint64_t key, int32_t buckets);

// Shard of a point id. Part of the durable format: the answer for an id must never change.
int32_t ShardOf(absl::string_view point_id, int32_t shard_count);

}  // namespace alcove::vector_search
