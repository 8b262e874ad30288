#include "services/vector-search/coordinator/local_shards.h"

#include <algorithm>
#include <utility>

#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

// A wait without a deadline of its own does not last forever.
constexpr absl::Duration kLongestWait = absl::Seconds(60);

absl::Time WaitDeadline(const RequestContext& ctx) { return std::min(ctx.deadline(), absl::Now() + kLongestWait); }

}  // namespace

template <typename T, typename Work>
void LocalShards::Run(const RequestContext& ctx, const ShardTarget& target, Work work, Done<T> done) {
  absl::StatusOr<HostedShardPtr> hosted = host_->Find(target.collection, target.shard, target.epoch);
  if (!hosted.ok()) return done(hosted.status());
  if ((*hosted)->shard().applied_sequence() >= target.min_sequence) return done(work((*hosted)->shard()));
  HostedShard& shard = **hosted;
  shard.WhenApplied(
      target.min_sequence, WaitDeadline(ctx),
      [this, hosted = *std::move(hosted), work = std::move(work), done = std::move(done)](absl::Status status) mutable {
        // The applier's thread has other things to do than to search.
        pool_->Submit([hosted = std::move(hosted), work = std::move(work), done = std::move(done),
                       status = std::move(status)]() mutable {
          if (!status.ok()) return done(std::move(status));
          done(work(hosted->shard()));
        });
      });
}

void LocalShards::Search(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
                         Done<std::vector<FoundPoint>> done) {
  Run<std::vector<FoundPoint>>(
      ctx, target, [ctx, query = std::move(query)](const Shard& shard) { return shard.Search(ctx, *query); },
      std::move(done));
}

void LocalShards::Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
                      Done<std::vector<StoredPoint>> done) {
  Run<std::vector<StoredPoint>>(
      ctx, target, [query = std::move(query)](const Shard& shard) { return shard.Get(query); }, std::move(done));
}

void LocalShards::Scroll(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const ScrollQuery> query,
                         Done<std::vector<StoredPoint>> done) {
  Run<std::vector<StoredPoint>>(
      ctx, target, [query = std::move(query)](const Shard& shard) { return shard.Scroll(*query); }, std::move(done));
}

void LocalShards::Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
                        Done<int64_t> done) {
  Run<int64_t>(
      ctx, target, [filter = std::move(filter)](const Shard& shard) { return shard.Count(*filter); }, std::move(done));
}

void LocalShards::Statistics(const RequestContext& ctx, const ShardTarget& target,
                             std::shared_ptr<const SearchQuery> query, Done<SparseStatistics> done) {
  Run<SparseStatistics>(
      ctx, target, [query = std::move(query)](const Shard& shard) { return shard.Statistics(*query); },
      std::move(done));
}

void LocalShards::Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
                        Done<ShardFacet> done) {
  Run<ShardFacet>(
      ctx, target,
      [query = std::move(query)](const Shard& shard) -> absl::StatusOr<ShardFacet> {
        ShardFacet facet;
        ALCOVE_ASSIGN_OR_RETURN(facet.counts, shard.Facet(*query));
        facet.total = facet.counts.size();
        if (facet.counts.size() > kMaxShardFacetValues) facet.counts.resize(kMaxShardFacetValues);
        return facet;
      },
      std::move(done));
}

void LocalShards::Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
                         absl::AnyInvocable<void(absl::Status)> done) {
  if (targets.empty()) return done(absl::OkStatus());
  auto gather = Gather<bool>::Make(targets.size(), [done = std::move(done)](auto results) mutable {
    absl::Status status;
    for (const absl::StatusOr<bool>& result : results) status.Update(result.status());
    done(std::move(status));
  });
  for (size_t i = 0; i < targets.size(); ++i) {
    Done<bool> slot = gather->Slot(i);
    absl::StatusOr<HostedShardPtr> hosted = host_->Find(targets[i].collection, targets[i].shard, targets[i].epoch);
    if (!hosted.ok()) {
      slot(hosted.status());
      continue;
    }
    (*hosted)->Hint();
    if (!wait) {
      slot(true);
      continue;
    }
    (*hosted)->WhenApplied(targets[i].min_sequence, WaitDeadline(ctx),
                           [slot = std::move(slot)](absl::Status status) mutable {
                             if (status.ok()) {
                               slot(true);
                             } else {
                               slot(std::move(status));
                             }
                           });
  }
}

void LocalShards::Stats(const RequestContext& ctx, store::CollectionId collection,
                        Done<std::vector<HostedStats>> done) {
  std::vector<HostedStats> stats;
  for (const HostedShardPtr& hosted : host_->List(collection)) stats.push_back(hosted->Stats());
  done(std::move(stats));
}

void LocalShards::RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  done(catalog_->Refresh());
}

}  // namespace alcove::vector_search
