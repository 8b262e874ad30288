// One vector-search process: store, catalogue, shards, coordinator and both faces, put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "libs/common/metrics.h"
#include "libs/rpc/server.h"
#include "services/vector-search/config.h"
#include "services/vector-search/service.h"
#include "services/vector-search/shard_service.h"

namespace alcove::vector_search {

class Node {
 public:
  // Opens the store, loads the shards and catches up with their logs; blocking for as long as that takes.
  static absl::StatusOr<std::unique_ptr<Node>> Make(const config::v1::VectorSearchConfig& config, Registry& registry);
  ~Node();

  std::vector<rpc::ServiceEntry> Services();
  // OK while the shards of this process answer.
  absl::Status Ready() const;
  void OnListening(const std::string& address) { shard_face_->SetAddress(address); }
  void BeginDrain() { shard_face_->SetDraining(); }
  // No call runs any more: stops following the log and writes the last snapshots.
  void Stop();

  ShardHost& host() { return *host_; }
  Catalog& catalog() { return *catalog_; }

 private:
  Node() = default;

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<ShardHost> host_;
  std::shared_ptr<LocalShards> local_;
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<Registry::CallbackHandle> metrics_;
  std::unique_ptr<VectorFace> vector_face_;
  std::unique_ptr<ShardFace> shard_face_;
  // Last, so that their tasks end before anything they use goes.
  std::unique_ptr<WorkQueue> writes_;
  std::unique_ptr<WorkQueue> reads_;
};

}  // namespace alcove::vector_search
