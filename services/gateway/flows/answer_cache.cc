#include "services/gateway/flows/answer_cache.h"

#include <exception>
#include <memory>
#include <utility>

#include <boost/asio/co_spawn.hpp>

#include "absl/strings/str_cat.h"
#include "alcove/cache/v1/cache.pb.h"
#include "libs/common/hash.h"
#include "libs/common/log.h"

namespace alcove::gateway {
namespace {

namespace cache = alcove::cache::v1;

constexpr absl::Duration kBackgroundTime = absl::Seconds(2);

void SetDuration(absl::Duration value, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(value));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value - absl::Seconds(out->seconds()))));
}

// The same tenant and trace, but neither the deadline nor the cancellation of the request.
RequestContext Background(const RequestContext& ctx) {
  RequestContext::Identity identity;
  identity.tenant = ctx.tenant();
  identity.request_id = ctx.request_id();
  identity.trace = ctx.trace();
  return RequestContext(std::move(identity)).WithTimeout(kBackgroundTime);
}

// Takes everything by value: it outlives its caller.
asio::awaitable<void> Send(Backends* backends, RequestContext ctx, BackendMethod method, std::string request) {
  absl::StatusOr<std::string> reply =
      co_await backends->Call(std::move(ctx), method, std::move(request), kBackgroundTime);
  if (!reply.ok()) LogDebug("the cache did not take a call", {{"method", method.path}, {"error", reply.status()}});
}

}  // namespace

std::string CollectionTag(const std::string& tenant, const std::string& collection) {
  std::string tag = absl::StrCat("collection:", tenant, "/", collection);
  // A tag has at most 128 bytes.
  return tag.size() <= 128 ? tag : absl::StrCat("collection:", Hash128(tag).hex());
}

std::vector<std::string> CollectionTags(const std::string& tenant, const std::string& name,
                                        const alcove::vector::v1::Collection& collection) {
  std::vector<std::string> tags = {CollectionTag(tenant, collection.name())};
  if (name != collection.name()) tags.push_back(CollectionTag(tenant, name));
  return tags;
}

void AnswerCache::Spawn(RequestContext ctx, BackendMethod method, std::string request) {
  auto done = [owner = owner_.lock()](std::exception_ptr) {};
  asio::co_spawn(executor_, Send(&backends_, std::move(ctx), method, std::move(request)), std::move(done));
}

asio::awaitable<AnswerCache::Lookup> AnswerCache::Get(const RequestContext& ctx, std::string name_space,
                                                      std::string key, absl::Duration wait) {
  Lookup lookup;
  if (!available()) co_return lookup;
  cache::GetRequest request;
  request.mutable_key()->set_namespace_(std::move(name_space));
  request.mutable_key()->set_key(std::move(key));
  if (wait > absl::ZeroDuration()) {
    request.set_single_flight(true);
    SetDuration(wait, request.mutable_wait());
  }
  const absl::Duration timeout = wait + kPatience;
  absl::StatusOr<cache::GetResponse> reply =
      co_await CallBackend<cache::GetResponse>(backends_, ctx, methods::kCacheGet, request, timeout);
  if (!reply.ok()) {
    static LogLimiter limiter(absl::Seconds(30));
    uint64_t skipped = 0;
    if (limiter.Allow(&skipped)) {
      LogWarning(ctx, "the cache does not answer; serving without it",
                 {{"error", reply.status()}, {"skipped", skipped}});
    }
    co_return lookup;
  }
  if (reply->outcome() == cache::OUTCOME_HIT) lookup.value = std::move(*reply->mutable_value());
  if (reply->outcome() == cache::OUTCOME_MISS_LEADER) lookup.lease = reply->lease();
  co_return lookup;
}

void AnswerCache::Put(const RequestContext& ctx, std::string name_space, std::string key, std::string value,
                      absl::Duration ttl, std::vector<std::string> tags, std::string lease) {
  if (!available()) return;
  cache::PutRequest request;
  request.mutable_entry()->mutable_key()->set_namespace_(std::move(name_space));
  request.mutable_entry()->mutable_key()->set_key(std::move(key));
  request.mutable_entry()->set_value(std::move(value));
  SetDuration(ttl, request.mutable_entry()->mutable_ttl());
  for (std::string& tag : tags) request.mutable_entry()->add_tags(std::move(tag));
  request.set_lease(std::move(lease));
  Spawn(Background(ctx), methods::kCachePut, request.SerializeAsString());
}

void AnswerCache::Release(const RequestContext& ctx, std::string name_space, std::string key, std::string lease) {
  if (lease.empty() || !available()) return;
  cache::ReleaseRequest request;
  request.mutable_key()->set_namespace_(std::move(name_space));
  request.mutable_key()->set_key(std::move(key));
  request.set_lease(std::move(lease));
  Spawn(Background(ctx), methods::kCacheRelease, request.SerializeAsString());
}

asio::awaitable<void> AnswerCache::Invalidate(const RequestContext& ctx, std::string tag) {
  if (!available()) co_return;
  cache::InvalidateTagsRequest request;
  request.add_tags(std::move(tag));
  // The write is done: the caller's deadline or a lost client must not keep stale answers alive.
  const RequestContext background = Background(ctx);
  const auto reply = co_await CallBackend<cache::InvalidateTagsResponse>(backends_, background,
                                                                         methods::kCacheInvalidate, request, kPatience);
  if (!reply.ok()) {
    static LogLimiter limiter(absl::Seconds(30));
    if (limiter.Allow()) {
      LogWarning(ctx, "cached searches could not be forgotten; they expire by themselves", {{"error", reply.status()}});
    }
  }
}

}  // namespace alcove::gateway
