// alcove.vector.v1.ShardService: what other processes ask of the shards held here, and how this process is.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "alcove/vector/v1/shard.grpc.pb.h"
#include "libs/rpc/method.h"
#include "services/vector-search/coordinator/local_shards.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

class ShardFace final : public rpc::Service {
 public:
  // All outlive the face.
  ShardFace(ShardHost& host, Catalog& catalog, LocalShards& shards, WorkQueue& reads,
            const rpc::MethodOptions& options);

  using Connect = std::function<void(const RequestContext&, absl::AnyInvocable<void(absl::Status)>)>;
  // How other processes are reached, by address; before the first call.
  void SetPeers(std::map<std::string, Connect> peers) { peers_ = std::move(peers); }
  void SetAddress(const std::string& address);
  void SetDraining();

#define ALCOVE_UNARY(Name)                                                            \
  void Name(rpc::UnaryCall* call, const ::alcove::vector::v1::Name##Request* request, \
            ::alcove::vector::v1::Name##Response* response);
  ALCOVE_UNARY(SearchShard)
  ALCOVE_UNARY(GetShardPoints)
  ALCOVE_UNARY(ScrollShard)
  ALCOVE_UNARY(CountShard)
  ALCOVE_UNARY(GetSparseStatistics)
  ALCOVE_UNARY(FacetShard)
  ALCOVE_UNARY(NotifyShard)
  ALCOVE_UNARY(GetShardStats)
  ALCOVE_UNARY(RefreshCatalog)
  ALCOVE_UNARY(Introduce)
  ALCOVE_UNARY(GetStatus)
#undef ALCOVE_UNARY

 private:
  absl::Status FillStatus(::alcove::vector::v1::GetStatusResponse* response) const;

  ShardHost& host_;
  Catalog& catalog_;
  LocalShards& shards_;
  WorkQueue& reads_;
  const absl::Time started_at_;
  std::map<std::string, Connect> peers_;
  mutable absl::Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  rpc::UnaryMethod search_shard_, get_shard_points_, scroll_shard_, count_shard_, notify_shard_, get_shard_stats_,
      refresh_catalog_, introduce_, get_status_, get_sparse_statistics_, facet_shard_;
};

}  // namespace alcove::vector_search
