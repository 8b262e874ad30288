// The shards of this process.
#pragma once

#include "libs/common/task_pool.h"
#include "services/vector-search/coordinator/shard_client.h"

namespace alcove::vector_search {

// Work whose sequence is applied already runs on the caller's thread; work that has to wait runs on the pool later.
class LocalShards final : public ShardClient {
 public:
  // All outlive this.
  LocalShards(ShardHost* host, Catalog* catalog, TaskPool* pool) : host_(host), catalog_(catalog), pool_(pool) {}

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
  void Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
              absl::AnyInvocable<void(absl::Status)> done) override;
  void Stats(const RequestContext& ctx, store::CollectionId collection, Done<std::vector<HostedStats>> done) override;
  void RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) override;
  bool InProcess() const override { return true; }
  std::string Name() const override { return "this process"; }

 private:
  // Calls work(shard) and done with its result, now or when target.min_sequence is applied.
  template <typename T, typename Work>
  void Run(const RequestContext& ctx, const ShardTarget& target, Work work, Done<T> done);

  ShardHost* const host_;
  Catalog* const catalog_;
  TaskPool* const pool_;
};

}  // namespace alcove::vector_search
