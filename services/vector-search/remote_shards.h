// The shards of another process, over gRPC.
#pragma once

#include <memory>
#include <string>

#include <grpcpp/channel.h>

#include "alcove/vector/v1/shard.grpc.pb.h"
#include "services/vector-search/coordinator/shard_client.h"

namespace alcove::vector_search {

// Callbacks run on gRPC's threads.
class RemoteShards final : public ShardClient {
 public:
  RemoteShards(std::string address, std::shared_ptr<grpc::Channel> channel);

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
  bool InProcess() const override { return false; }
  std::string Name() const override { return *address_; }

 private:
  const std::shared_ptr<const std::string> address_;  // calls may end after this has gone
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<::alcove::vector::v1::ShardService::Stub> stub_;
};

}  // namespace alcove::vector_search
