#include "services/cache/tiers/tiered_cache.h"

#include <algorithm>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::cache {
namespace {

constexpr size_t kMaxNamespaceBytes = 128;
constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxTags = 16;
constexpr size_t kMaxTagBytes = 128;

absl::Status CheckName(absl::string_view field, absl::string_view text, size_t max) {
  if (text.empty() || text.size() > max) return InvalidField(field, absl::StrCat("must have 1 to ", max, " bytes"));
  if (text.find('\0') != absl::string_view::npos) return InvalidField(field, "must not hold a NUL byte");
  return absl::OkStatus();
}

absl::StatusOr<std::string> FullKey(const RequestContext& ctx, const CacheKey& key) {
  ALCOVE_RETURN_IF_ERROR(CheckName("tenant", ctx.tenant(), kMaxNamespaceBytes));
  ALCOVE_RETURN_IF_ERROR(CheckName("key.namespace", key.name_space, kMaxNamespaceBytes));
  if (key.key.empty() || key.key.size() > kMaxKeyBytes) {
    return InvalidField("key.key", absl::StrCat("must have 1 to ", kMaxKeyBytes, " bytes; hash longer ones"));
  }
  return EntryKey(ctx.tenant(), key.name_space, key.key);
}

absl::StatusOr<std::vector<std::string>> FullTags(const RequestContext& ctx, const std::vector<std::string>& tags) {
  ALCOVE_RETURN_IF_ERROR(CheckName("tenant", ctx.tenant(), kMaxNamespaceBytes));
  if (tags.size() > kMaxTags) return InvalidField("tags", absl::StrCat("may be at most ", kMaxTags));
  std::vector<std::string> out;
  for (const std::string& tag : tags) {
    ALCOVE_RETURN_IF_ERROR(CheckName("tags", tag, kMaxTagBytes));
    out.push_back(TagName(ctx.tenant(), tag));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TieredCache>> TieredCache::Create(TieredCacheOptions options, Clock* clock) {
  std::unique_ptr<RedisClient> redis;
  if (options.redis.has_value()) {
    ALCOVE_ASSIGN_OR_RETURN(redis, RedisClient::Create(*options.redis));
  }
  return std::unique_ptr<TieredCache>(new TieredCache(std::move(options), clock, std::move(redis)));
}

TieredCache::TieredCache(TieredCacheOptions options, Clock* clock, std::unique_ptr<RedisClient> redis)
    : options_(std::move(options)),
      clock_(clock),
      memory_(options_.memory, clock),
      flights_(clock, options_.lease_time),
      redis_(std::move(redis)) {
  if (redis_ == nullptr) return;
  bus_ = std::make_unique<InvalidationBus>(
      redis_->options(), redis_->address(),
      [this](const Invalidation& invalidation) {
        if (invalidation.kind == Invalidation::Kind::kTag) {
          tags_.InvalidateRemote(invalidation.name, invalidation.at);
        } else {
          memory_.Erase(invalidation.name);
        }
      },
      [this] {
        LogWarning("invalidations of other processes may have been missed; forgetting what memory holds", {});
        tags_.InvalidateAll(clock_->Now());
        memory_.Clear();
      });
}

TieredCache::~TieredCache() {
  // Both call back into this object from their threads.
  bus_.reset();
  redis_.reset();
}

std::optional<CachedValue> TieredCache::LookInMemory(const std::string& key) {
  std::optional<CachedValue> entry = memory_.Get(key);
  if (entry.has_value() && !tags_.IsValid(*entry)) {
    memory_.Erase(key);
    entry.reset();
  }
  (entry.has_value() ? memory_counters_.hits : memory_counters_.misses).fetch_add(1, std::memory_order_relaxed);
  return entry;
}

GetResult TieredCache::Hit(const CachedValue& entry, Level level) const {
  return {Outcome::kHit, level, entry.value, entry.expires - clock_->Now(), ""};
}

void TieredCache::KeepInMemory(const std::string& key, CachedValue entry) {
  entry.expires = std::min(entry.expires, clock_->Now() + options_.memory_ttl);
  memory_.Put(key, std::move(entry));
}

void TieredCache::LookInRedis(std::string key, absl::AnyInvocable<void(std::optional<CachedValue>)> done) {
  if (redis_ == nullptr) {
    done(std::nullopt);
    return;
  }
  std::vector<std::string> command = {"GET", key};
  redis_->Send(std::move(command),
               [this, key = std::move(key), done = std::move(done)](absl::StatusOr<RedisReply> reply) mutable {
                 std::optional<CachedValue> found;
                 if (reply.ok() && reply->text.has_value()) {
                   auto entry = DecodeEntry(*reply->text);
                   if (!entry.ok()) {
                     LogWarning("a damaged entry in Redis is ignored", {{"error", entry.status().message()}});
                   } else if (entry->expires > clock_->Now() && tags_.IsValid(*entry)) {
                     found = *std::move(entry);
                   }
                 }
                 if (!found.has_value()) {
                   redis_counters_.misses.fetch_add(1, std::memory_order_relaxed);
                   done(std::nullopt);
                 } else if (found->tags.empty()) {
                   redis_counters_.hits.fetch_add(1, std::memory_order_relaxed);
                   KeepInMemory(key, *found);
                   done(std::move(found));
                 } else {
                   CheckTags(std::move(key), *std::move(found), std::move(done));
                 }
               });
}

void TieredCache::CheckTags(std::string key, CachedValue entry,
                            absl::AnyInvocable<void(std::optional<CachedValue>)> done) {
  std::vector<std::string> command = {"MGET"};
  command.insert(command.end(), entry.tags.begin(), entry.tags.end());
  redis_->Send(std::move(command), [this, key = std::move(key), entry = std::move(entry),
                                    done = std::move(done)](absl::StatusOr<RedisReply> reply) mutable {
    // Without the stamps nothing says that the entry is still good.
    bool valid = reply.ok() && reply->values.size() == entry.tags.size();
    for (size_t i = 0; valid && i < entry.tags.size(); ++i) {
      int64_t micros = 0;
      if (!reply->values[i].has_value()) continue;
      if (!absl::SimpleAtoi(*reply->values[i], &micros) || entry.born <= absl::FromUnixMicros(micros)) valid = false;
    }
    (valid ? redis_counters_.hits : redis_counters_.misses).fetch_add(1, std::memory_order_relaxed);
    if (!valid) {
      done(std::nullopt);
      return;
    }
    KeepInMemory(key, entry);
    done(std::move(entry));
  });
}

void TieredCache::Get(const RequestContext& ctx, const CacheKey& key, const GetOptions& options, GetCallback done) {
  auto full_key = FullKey(ctx, key);
  if (!full_key.ok()) {
    done(full_key.status());
    return;
  }
  if (const auto entry = LookInMemory(*full_key); entry.has_value()) {
    done(Hit(*entry, Level::kMemory));
    return;
  }
  if (options.single_flight) {
    JoinFlight(ctx, *std::move(full_key), options, std::move(done));
    return;
  }
  LookInRedis(*std::move(full_key), [this, done = std::move(done)](std::optional<CachedValue> entry) mutable {
    done(entry.has_value() ? Hit(*entry, Level::kRedis) : GetResult{});
  });
}

void TieredCache::JoinFlight(const RequestContext& ctx, std::string key, const GetOptions& options, GetCallback done) {
  const absl::Time deadline =
      std::min(clock_->Now() + std::clamp(options.wait, absl::ZeroDuration(), options_.max_wait), ctx.deadline());
  // Set once Join has returned without calling back: what comes after that comes to a caller that waited.
  auto waited = std::make_shared<std::atomic<bool>>(false);
  const uint64_t waiter = flights_.Join(
      key, deadline,
      [this, key, waited, cancellation = ctx.cancellation(), done = std::move(done)](FlightResult flight) mutable {
        if (flight.value.has_value()) {
          done(Hit(*flight.value, Level::kMemory));
        } else if (flight.lease.empty()) {
          done(GetResult{});
        } else if (cancellation.cancelled()) {
          // Nobody would compute: the next one waiting leads.
          flights_.Release(key, flight.lease);
          done(cancellation.status());
        } else if (waited->load()) {
          // The leader before this one found nothing in Redis and then failed to compute.
          done(GetResult{Outcome::kMissLeader, Level::kNone, nullptr, {}, flight.lease});
        } else {
          LookInRedis(
              key, [this, key, lease = flight.lease, done = std::move(done)](std::optional<CachedValue> entry) mutable {
                if (!entry.has_value()) {
                  done(GetResult{Outcome::kMissLeader, Level::kNone, nullptr, {}, lease});
                  return;
                }
                flights_.Complete(key, lease, *entry);
                done(Hit(*entry, Level::kRedis));
              });
        }
      });
  if (waiter != 0) waited->store(true);
}

absl::StatusOr<PutResult> TieredCache::Put(const RequestContext& ctx, PutRequest request) {
  ALCOVE_ASSIGN_OR_RETURN(const std::string key, FullKey(ctx, request.key));
  ALCOVE_ASSIGN_OR_RETURN(std::vector<std::string> tags, FullTags(ctx, request.tags));
  if (request.ttl.has_value() && *request.ttl <= absl::ZeroDuration()) return InvalidField("ttl", "must be positive");

  const absl::Time now = clock_->Now();
  CachedValue entry;
  entry.born = now;
  entry.expires = now + request.ttl.value_or(redis_ != nullptr ? options_.redis_ttl : options_.memory_ttl);
  entry.tags = std::move(tags);
  entry.value = std::make_shared<const std::string>(std::move(request.value));
  if (!request.lease.empty()) {
    const auto born = flights_.BornAt(key, request.lease);
    if (!born.has_value()) return PutResult{false, "the lease has expired"};
    entry.born = *born;
  }
  if (entry.value->size() > options_.max_value_bytes) {
    flights_.Complete(key, request.lease, entry);
    return PutResult{
        false, absl::StrCat("the value has ", entry.value->size(), " bytes; the limit is ", options_.max_value_bytes)};
  }
  if (!tags_.IsValid(entry)) {
    flights_.Release(key, request.lease);
    return PutResult{false, "its tags were invalidated while it was computed"};
  }
  KeepInMemory(key, entry);
  if (redis_ != nullptr) {
    const int64_t millis = std::max<int64_t>(absl::ToInt64Milliseconds(entry.expires - now), 1);
    redis_->Send({"SET", key, EncodeEntry(entry), "PX", absl::StrCat(millis)}, [](absl::StatusOr<RedisReply>) {});
  }
  if (!request.lease.empty()) flights_.Complete(key, request.lease, entry);
  return PutResult{true, ""};
}

absl::StatusOr<bool> TieredCache::Release(const RequestContext& ctx, const CacheKey& key, absl::string_view lease) {
  ALCOVE_ASSIGN_OR_RETURN(const std::string full_key, FullKey(ctx, key));
  return flights_.Release(full_key, lease);
}

absl::StatusOr<size_t> TieredCache::Delete(const RequestContext& ctx, const std::vector<CacheKey>& keys) {
  std::vector<std::string> command = {"DEL"};
  for (const CacheKey& key : keys) {
    ALCOVE_ASSIGN_OR_RETURN(std::string full_key, FullKey(ctx, key));
    command.push_back(std::move(full_key));
  }
  size_t existed = 0;
  const absl::Time now = clock_->Now();
  for (size_t i = 1; i < command.size(); ++i) {
    if (memory_.Erase(command[i])) ++existed;
    Publish({Invalidation::Kind::kKey, command[i], now});
  }
  if (redis_ != nullptr && command.size() > 1) redis_->Send(std::move(command), [](absl::StatusOr<RedisReply>) {});
  return existed;
}

void TieredCache::Publish(Invalidation invalidation) {
  if (redis_ == nullptr) return;
  redis_->Send({"PUBLISH", InvalidationBus::kChannel, EncodeInvalidation(invalidation, bus_->sender())},
               [](absl::StatusOr<RedisReply>) {});
}

void TieredCache::InvalidateTags(const RequestContext& ctx, const std::vector<std::string>& tags,
                                 absl::AnyInvocable<void(absl::StatusOr<bool>)> done) {
  auto names = FullTags(ctx, tags);
  if (!names.ok()) {
    done(names.status());
    return;
  }
  const absl::Time now = clock_->Now();
  for (const std::string& name : *names) tags_.Invalidate(name, now);
  if (redis_ == nullptr || names->empty()) {
    done(true);
    return;
  }
  // The stamps outlive every entry that could carry the tag.
  struct Pending {
    std::atomic<size_t> left;
    std::atomic<bool> failed{false};
    absl::AnyInvocable<void(absl::StatusOr<bool>)> done;
  };
  auto pending = std::make_shared<Pending>();
  pending->left = names->size();
  pending->done = std::move(done);
  const std::string stamp = absl::StrCat(absl::ToUnixMicros(now));
  const std::string life = absl::StrCat(absl::ToInt64Milliseconds(2 * options_.redis_ttl + absl::Hours(24)));
  for (const std::string& name : *names) {
    redis_->Send({"SET", name, stamp, "PX", life}, [pending](absl::StatusOr<RedisReply> reply) {
      if (!reply.ok()) pending->failed.store(true);
      if (pending->left.fetch_sub(1) == 1) pending->done(!pending->failed.load());
    });
    Publish({Invalidation::Kind::kTag, name, now});
  }
}

}  // namespace alcove::cache
