// The first level: entries in this process's memory, spread over shards that each have their own lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "services/cache/memory/s3_fifo.h"
#include "services/cache/tiers/entry.h"

namespace alcove::cache {

struct MemoryOptions {
  size_t max_entries = 1000;
  size_t max_bytes = 64 << 20;
  size_t shards = 0;  // 0: one for every 512 entries, at most 64
};

// Thread safe. Expired entries are dropped when they are met.
class MemoryCache {
 public:
  MemoryCache(const MemoryOptions& options, Clock* clock);

  // The entry, if there is one that has not expired. Values are shared, not copied.
  std::optional<CachedValue> Get(absl::string_view key);
  // False when the entry is larger than a shard may hold.
  bool Put(absl::string_view key, CachedValue value);
  bool Erase(absl::string_view key);
  void Clear();
  // Evicts until at most `share` (0..1) of max_bytes is held: memory pressure.
  void ShrinkTo(double share);

  struct Stats {
    size_t entries = 0;
    size_t bytes = 0;
    uint64_t evictions = 0;
  };
  Stats GetStats() const;

 private:
  struct alignas(64) Shard {
    explicit Shard(S3Fifo<CachedValue>::Limits limits) : entries(limits) {}
    mutable absl::Mutex mutex;
    S3Fifo<CachedValue> entries ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(absl::string_view key);

  Clock* const clock_;
  std::vector<std::unique_ptr<Shard>> shards_;
  size_t shard_bytes_ = 0;
};

}  // namespace alcove::cache
