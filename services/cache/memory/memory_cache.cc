#include "services/cache/memory/memory_cache.h"

#include <algorithm>

#include "libs/common/hash.h"

namespace alcove::cache {
namespace {

constexpr size_t kEntriesPerShard = 512;
constexpr size_t kMaxShards = 64;

}  // namespace

MemoryCache::MemoryCache(const MemoryOptions& options, Clock* clock) : clock_(clock) {
  const size_t shards =
      options.shards > 0 ? options.shards : std::clamp<size_t>(options.max_entries / kEntriesPerShard, 1, kMaxShards);
  shard_bytes_ = options.max_bytes / shards;
  for (size_t i = 0; i < shards; ++i) {
    shards_.push_back(std::make_unique<Shard>(S3Fifo<CachedValue>::Limits{
        .max_entries = std::max<size_t>(options.max_entries / shards, 1), .max_bytes = shard_bytes_}));
  }
}

MemoryCache::Shard& MemoryCache::ShardOf(absl::string_view key) { return *shards_[Hash64(key) % shards_.size()]; }

std::optional<CachedValue> MemoryCache::Get(absl::string_view key) {
  const absl::Time now = clock_->Now();
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const CachedValue* value = shard.entries.Get(key);
  if (value == nullptr) return std::nullopt;
  if (value->expires <= now) {
    shard.entries.Erase(key);
    return std::nullopt;
  }
  return *value;
}

bool MemoryCache::Put(absl::string_view key, CachedValue value) {
  const size_t bytes = value.MemoryBytes();
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  return shard.entries.Put(key, std::move(value), bytes);
}

bool MemoryCache::Erase(absl::string_view key) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  return shard.entries.Erase(key);
}

void MemoryCache::Clear() {
  for (auto& shard : shards_) {
    absl::MutexLock lock(&shard->mutex);
    shard->entries.Clear();
  }
}

void MemoryCache::ShrinkTo(double share) {
  for (auto& shard : shards_) {
    absl::MutexLock lock(&shard->mutex);
    shard->entries.ShrinkTo(static_cast<size_t>(static_cast<double>(shard_bytes_) * share));
  }
}

MemoryCache::Stats MemoryCache::GetStats() const {
  Stats stats;
  for (const auto& shard : shards_) {
    absl::MutexLock lock(&shard->mutex);
    stats.entries += shard->entries.entries();
    stats.bytes += shard->entries.bytes();
    stats.evictions += shard->entries.evictions();
  }
  return stats;
}

}  // namespace alcove::cache
