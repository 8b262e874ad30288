#include "services/vector-search/log/placement.h"

#include "libs/common/hash.h"

namespace alcove::vector_search {

// Lamping & Veach 2014, section 3, "jump consistent hash": the sequence of buckets a key jumps through as the number
// of buckets grows is drawn from a linear congruential generator seeded by the key; the last jump below `buckets` is
// the answer.
int32_t JumpConsistentHash(uint64_t key, int32_t buckets) {
  int64_t bucket = -1;
  int64_t next = 0;
  while (next < buckets) {
    bucket = next;
    key = key * 2862933555777941757ULL + 1;
    const double scale = static_cast<double>(int64_t{1} << 31) / static_cast<double>((key >> 33) + 1);
    next = static_cast<int64_t>(static_cast<double>(bucket + 1) * scale);
  }
  return static_cast<int32_t>(bucket);
}

int32_t ShardOf(absl::string_view point_id, int32_t shard_count) {
  return JumpConsistentHash(Hash64(point_id), shard_count);
}

}  // namespace alcove::vector_search
