// The cache as its callers see it: memory first, then Redis, with one caller of many computing what neither holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/request_context.h"
#include "services/cache/flight/single_flight.h"
#include "services/cache/memory/memory_cache.h"
#include "services/cache/redis/invalidation_bus.h"
#include "services/cache/redis/redis_client.h"
#include "services/cache/tiers/entry.h"
#include "services/cache/tiers/tag_table.h"

namespace alcove::cache {

struct TieredCacheOptions {
  MemoryOptions memory;
  absl::Duration memory_ttl = absl::Seconds(300);
  std::optional<RedisOptions> redis;  // none: memory alone
  absl::Duration redis_ttl = absl::Seconds(3600);
  size_t max_value_bytes = 1 << 20;
  absl::Duration lease_time = absl::Seconds(15);  // a leader that is silent for longer is given up
  absl::Duration max_wait = absl::Seconds(30);
};

enum class Level { kNone, kMemory, kRedis };
enum class Outcome { kHit, kMiss, kMissLeader };

struct CacheKey {
  std::string name_space;  // 1..128 bytes without NUL
  std::string key;         // 1..1024 bytes
};

struct GetOptions {
  bool single_flight = false;
  absl::Duration wait;  // for a leader; capped at max_wait and the request's deadline
};

struct GetResult {
  Outcome outcome = Outcome::kMiss;
  Level level = Level::kNone;
  std::shared_ptr<const std::string> value;
  absl::Duration ttl;
  std::string lease;  // for kMissLeader
};
using GetCallback = absl::AnyInvocable<void(absl::StatusOr<GetResult>)>;

struct PutRequest {
  CacheKey key;
  std::string value;
  std::optional<absl::Duration> ttl;
  std::vector<std::string> tags;  // at most 16 of 1..128 bytes without NUL
  std::string lease;
};

struct PutResult {
  bool stored = false;
  std::string reason;  // why not
};

struct LevelCounters {
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> misses{0};
};

// Thread safe. Every call belongs to the tenant of its context; the empty tenant is refused. Redis trouble never fails
// a call: it turns into misses and into values kept in memory alone.
class TieredCache {
 public:
  // INVALID_ARGUMENT for a Redis URL that cannot be read. Does not wait for Redis.
  static absl::StatusOr<std::unique_ptr<TieredCache>> Create(TieredCacheOptions options, Clock* clock);
  ~TieredCache();

  // Calls `done` exactly once, at once for what memory can answer. INVALID_ARGUMENT for a bad key. A
  // leadership that falls to a caller whose request was cancelled meanwhile passes on to the next.
  void Get(const RequestContext& ctx, const CacheKey& key, const GetOptions& options, GetCallback done);

  absl::StatusOr<PutResult> Put(const RequestContext& ctx, PutRequest request);
  // Ends a leadership without a value. False when the lease is not valid any more.
  absl::StatusOr<bool> Release(const RequestContext& ctx, const CacheKey& key, absl::string_view lease);
  // How many keys existed in memory (Redis is told, but not waited for).
  absl::StatusOr<size_t> Delete(const RequestContext& ctx, const std::vector<CacheKey>& keys);
  // Whether the processes that share the Redis could be told; `done` runs when that is known.
  void InvalidateTags(const RequestContext& ctx, const std::vector<std::string>& tags,
                      absl::AnyInvocable<void(absl::StatusOr<bool>)> done);

  bool redis_configured() const { return redis_ != nullptr; }
  bool redis_available() const { return redis_ != nullptr && redis_->available(); }
  uint64_t redis_errors() const { return redis_ == nullptr ? 0 : redis_->errors(); }
  const LevelCounters& memory_counters() const { return memory_counters_; }
  const LevelCounters& redis_counters() const { return redis_counters_; }
  MemoryCache::Stats memory_stats() const { return memory_.GetStats(); }
  const SingleFlight& flights() const { return flights_; }
  // For tests: waits until invalidations of other processes would arrive.
  bool WaitUntilSubscribed(absl::Duration timeout) { return bus_ != nullptr && bus_->WaitUntilSubscribed(timeout); }

 private:
  TieredCache(TieredCacheOptions options, Clock* clock, std::unique_ptr<RedisClient> redis);

  std::optional<CachedValue> LookInMemory(const std::string& key);
  // Asks Redis for the entry and for the stamps of its tags; `done` gets a valid entry or none.
  void LookInRedis(std::string key, absl::AnyInvocable<void(std::optional<CachedValue>)> done);
  void CheckTags(std::string key, CachedValue entry, absl::AnyInvocable<void(std::optional<CachedValue>)> done);
  void KeepInMemory(const std::string& key, CachedValue entry);
  GetResult Hit(const CachedValue& entry, Level level) const;
  void JoinFlight(const RequestContext& ctx, std::string key, const GetOptions& options, GetCallback done);
  void Publish(Invalidation invalidation);

  const TieredCacheOptions options_;
  Clock* const clock_;
  MemoryCache memory_;
  TagTable tags_;
  SingleFlight flights_;
  LevelCounters memory_counters_;
  LevelCounters redis_counters_;
  std::unique_ptr<RedisClient> redis_;
  std::unique_ptr<InvalidationBus> bus_;
};

}  // namespace alcove::cache
