// The shards of another process, over gRPC.
#pragma once

#include <memory>
#include <string>

#include "libs/common/task_pool.h"
#include "libs/rpc/client.h"
#include "services/vector-search/coordinator/shard_client.h"

namespace alcove::vector_search {

// Short lists of what was found are handed over on the client's loop, so that a lone search wakes no other thread; all
// other answers on the pool, because more work may follow from them than a loop should do.
class RemoteShards final : public ShardClient {
 public:
  // `pool` outlives every call.
  RemoteShards(std::unique_ptr<rpc::Client> client, TaskPool* pool);

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
  // Tells the process that this one, at `self`, has started. Waits until it can be reached, within the deadline.
  void Introduce(const RequestContext& ctx, const std::string& self, absl::AnyInvocable<void(absl::Status)> done);
  // Connects now, without waiting for a pause after failed attempts to end; done when the process answers.
  void Connect(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done);
  // Ends calls in flight and takes no more. Not from a loop; before the last reference to this goes.
  void Close() { client_->Close(); }
  bool InProcess() const override { return false; }
  std::string Name() const override { return client_->address(); }

 private:
  template <typename Response, typename Request, typename Finish>
  void Send(const RequestContext& ctx, std::string_view method, const Request& request, Finish finish,
            bool wait_for_ready = false);

  const std::unique_ptr<rpc::Client> client_;
  TaskPool* const pool_;
};

}  // namespace alcove::vector_search
