// Asking shards, wherever they are. One client stands for one process: this one (local_shards.h) or another (the face's
// remote_shards.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "libs/common/request_context.h"
#include "services/vector-search/collection/payload_index.h"
#include "services/vector-search/collection/point.h"
#include "services/vector-search/shard/shard_host.h"

namespace alcove::vector_search {

struct ShardTarget {
  store::CollectionId collection = 0;
  int32_t shard = 0;
  store::Sequence min_sequence = 0;  // answer only when this is applied
  int64_t epoch = 0;                 // of the placement the shard number belongs to; 0: the one in force
};

// Values one shard answers with; counts of rarer ones are left out.
inline constexpr size_t kMaxShardFacetValues = 50'000;

struct ShardFacet {
  std::vector<ValueCount> counts;  // the most frequent first
  uint64_t total = 0;              // different values
};

// Whether an answer says something about the call rather than about the shard: another replica would say the same.
inline bool ConcernsTheCall(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsUnimplemented(status);
}

template <typename T>
using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

// Thread-safe. Nothing blocks: `done` is called exactly once, on the caller's thread before the method returns or on
// another one later, at the latest soon after the context's deadline. NOT_FOUND means that the collection is gone.
class ShardClient {
 public:
  virtual ~ShardClient() = default;
  virtual void Search(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
                      Done<std::vector<FoundPoint>> done) = 0;
  virtual void Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
                   Done<std::vector<StoredPoint>> done) = 0;
  virtual void Scroll(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const ScrollQuery> query,
                      Done<std::vector<StoredPoint>> done) = 0;
  virtual void Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
                     Done<int64_t> done) = 0;
  // What the scores of a search in a sparse field depend on besides the points (Shard::Statistics).
  virtual void Statistics(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const SearchQuery> query, Done<SparseStatistics> done) = 0;
  virtual void Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
                     Done<ShardFacet> done) = 0;
  // Says that the log has news up to each target's min_sequence; with `wait`, done comes when all is applied.
  virtual void Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
                      absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Sizes of the collection's shards in that process.
  virtual void Stats(const RequestContext& ctx, store::CollectionId collection,
                     Done<std::vector<HostedStats>> done) = 0;
  // Looks at the catalogue now: it has changed.
  virtual void RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Whether the work is done on the caller's thread.
  virtual bool InProcess() const = 0;
  // For messages: "this process", "10.0.0.2:7110".
  virtual std::string Name() const = 0;
};

// Collects `count` answers; calls `all` with them, in the order of their slots, on the thread of the last one.
template <typename T>
class Gather : public std::enable_shared_from_this<Gather<T>> {
 public:
  using All = absl::AnyInvocable<void(std::vector<absl::StatusOr<T>>)>;
  static std::shared_ptr<Gather> Make(size_t count, All all) {
    return std::shared_ptr<Gather>(new Gather(count, std::move(all)));
  }
  // Each slot below count is to be taken and called once.
  Done<T> Slot(size_t slot) {
    return [self = this->shared_from_this(), slot](absl::StatusOr<T> result) mutable {
      self->results_[slot] = std::move(result);
      if (self->left_.fetch_sub(1, std::memory_order_acq_rel) == 1) self->all_(std::move(self->results_));
    };
  }

 private:
  Gather(size_t count, All all)
      : results_(count, absl::StatusOr<T>(absl::UnknownError("no answer"))), left_(count), all_(std::move(all)) {}
  std::vector<absl::StatusOr<T>> results_;
  std::atomic<size_t> left_;
  All all_;
};

}  // namespace alcove::vector_search
