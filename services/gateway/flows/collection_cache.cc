#include "services/gateway/flows/collection_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "alcove/vector/v1/vector.pb.h"
#include "libs/common/status.h"

namespace alcove::gateway {

using alcove::vector::v1::Collection;
using alcove::vector::v1::GetCollectionRequest;
using alcove::vector::v1::GetCollectionResponse;

namespace {

std::string KeyOf(const std::string& tenant, const std::string& name) {
  std::string key = tenant;
  key.push_back('\0');
  key += name;
  return key;
}

}  // namespace

asio::awaitable<absl::StatusOr<std::shared_ptr<const Collection>>> CollectionCache::Get(const RequestContext& ctx,
                                                                                        std::string name) {
  if (name.empty()) co_return InvalidField("collection", "must be given");
  const std::string key = KeyOf(ctx.tenant(), name);
  const int64_t now = clock_->MonotonicNanos();
  if (const auto it = entries_.find(key); it != entries_.end()) {
    if (now - it->second.read_ns < absl::ToInt64Nanoseconds(kTtl)) co_return it->second.collection;
    entries_.erase(it);
  }
  GetCollectionRequest request;
  request.set_name(name);
  absl::StatusOr<GetCollectionResponse> reply =
      co_await CallBackend<GetCollectionResponse>(backends_, ctx, methods::kGetCollection, request);
  if (!reply.ok()) co_return reply.status();
  Entry entry;
  entry.collection = std::make_shared<const Collection>(std::move(*reply->mutable_collection()));
  entry.read_ns = now;
  if (entries_.size() >= kMaxEntries) entries_.clear();
  auto collection = entry.collection;
  entries_.insert_or_assign(key, std::move(entry));
  co_return collection;
}

asio::awaitable<absl::StatusOr<std::shared_ptr<const Collection>>> CollectionCache::GetWithModel(
    const RequestContext& ctx, std::string name) {
  auto collection = co_await Get(ctx, name);
  if (collection.ok() && (*collection)->embedding_model().empty()) {
    co_return absl::FailedPreconditionError(
        absl::StrCat("collection \"", name,
                     "\" has no embedding model, so it takes vectors only; use its points, or create it with "
                     "\"embedding_model\": \"default\""));
  }
  co_return collection;
}

void CollectionCache::Forget(const std::string& tenant, const std::string& name) {
  entries_.erase(KeyOf(tenant, name));
}

}  // namespace alcove::gateway
