// Several processes that hold the same shards, seen as one: a call goes to the one that should answer soonest, to the
// next when that one fails, and to a second one when the first takes unusually long (a hedge; Dean & Barroso, "The Tail
// at Scale", 2013). Hedges keep to a budget, so that a slow cluster is not asked twice as much.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/metrics.h"
#include "services/vector-search/coordinator/delayed_tasks.h"
#include "services/vector-search/coordinator/process_health.h"
#include "services/vector-search/coordinator/shard_client.h"

namespace alcove::vector_search {

struct Replica {
  std::shared_ptr<ShardClient> client;
  std::shared_ptr<ProcessHealth> health;  // shared by everything that asks the same process
};

struct ReplicaOptions {
  bool hedge = true;
  double hedge_ratio = 0.05;                            // hedges for each call, beyond the first few
  absl::Duration hedge_least = absl::Milliseconds(5);   // never hedged sooner
  absl::Duration give_up_after = absl::Seconds(1);      // an answer is then asked of the next, budget or not
  absl::Duration retry_pause = absl::Milliseconds(50);  // when all have failed; twice, and twice as long each time
  Registry* registry = nullptr;                         // null: no metrics
  Clock* clock = nullptr;                               // null: the real one
};

// Counters all replica sets of a process share; null ones count nothing.
struct ReplicaCounters {
  Counter* hedges = nullptr;
  Counter* failovers = nullptr;
  static ReplicaCounters Make(Registry& registry);
};

// Thread-safe.
class Replicas final : public ShardClient, public std::enable_shared_from_this<Replicas> {
 public:
  // At least one replica. `timer` outlives every call.
  static std::shared_ptr<Replicas> Make(ReplicaOptions options, ReplicaCounters counters, std::vector<Replica> replicas,
                                        DelayedTasks* timer) {
    return std::shared_ptr<Replicas>(new Replicas(options, counters, std::move(replicas), timer));
  }

  void Search(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
              Done<std::vector<FoundPoint>> done) override;
  void Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
           Done<std::vector<StoredPoint>> done) override;
  void Scroll(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const ScrollQuery> query,
              Done<std::vector<StoredPoint>> done) override;
  void Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
             Done<int64_t> done) override;
  void Statistics(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
                  Done<SparseStatistics> done) override;
  void Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
             Done<ShardFacet> done) override;
  // To all of them. With `wait` it is enough that one has applied the news, as long as the others could not be reached.
  void Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
              absl::AnyInvocable<void(absl::Status)> done) override;
  void Stats(const RequestContext& ctx, store::CollectionId collection, Done<std::vector<HostedStats>> done) override;
  void RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) override;
  // Whether this process is among them and would be asked first.
  bool InProcess() const override;
  std::string Name() const override;

  // Every replica, for who wants to know of each.
  const std::vector<Replica>& all() const { return replicas_; }

 private:
  template <typename T>
  class Race;

  Replicas(ReplicaOptions options, ReplicaCounters counters, std::vector<Replica> replicas, DelayedTasks* timer);

  template <typename T, typename Ask>
  void Start(const RequestContext& ctx, Ask ask, Done<T> done);
  // Positions in replicas_, the one to be asked first first.
  std::vector<size_t> Order() const;
  // How long an answer may take before a second one is asked for.
  absl::Duration HedgeAfter() const;
  void NoteCall();
  void NoteLatency(absl::Duration took);
  bool TakeHedge();

  const ReplicaOptions options_;
  const ReplicaCounters counters_;
  const std::vector<Replica> replicas_;
  DelayedTasks* const timer_;
  Clock* const clock_;

  mutable absl::Mutex mutex_;
  double hedges_left_ ABSL_GUARDED_BY(mutex_);
  double mean_ ABSL_GUARDED_BY(mutex_) = 0.02;       // seconds, of answers of the first one asked
  double deviation_ ABSL_GUARDED_BY(mutex_) = 0.01;  // mean absolute
};

}  // namespace alcove::vector_search
