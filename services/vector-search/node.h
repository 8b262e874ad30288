// One vector-search process: store, catalogue, shards, coordinator and both faces, put together.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "libs/common/metrics.h"
#include "libs/rpc/server.h"
#include "services/vector-search/backup_service.h"
#include "services/vector-search/change_service.h"
#include "services/vector-search/config.h"
#include "services/vector-search/coordinator/delayed_tasks.h"
#include "services/vector-search/coordinator/resharder.h"
#include "services/vector-search/remote_shards.h"
#include "services/vector-search/service.h"
#include "services/vector-search/shard_service.h"

namespace alcove::vector_search {

class Node {
 public:
  // Opens the store, loads the shards and catches up with their logs; blocking for as long as that takes. Other
  // processes are called on `loops`, those of the server.
  static absl::StatusOr<std::unique_ptr<Node>> Make(const config::v1::VectorSearchConfig& config, Registry& registry,
                                                    const net::LoopThreads& loops);
  ~Node();

  std::vector<rpc::Service*> Services();
  // OK while the shards of this process answer; after a start only once the other processes can reach it, or did not
  // answer for kIntroduction.
  absl::Status Ready() const;
  // Makes itself known to the other processes.
  void OnListening(const std::string& address);
  void BeginDrain();
  // No call runs any more: stops following the log and writes the last snapshots.
  void Stop();

  ShardHost& host() { return *host_; }
  Catalog& catalog() { return *catalog_; }

 private:
  Node() = default;

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<ShardHost> host_;
  std::string self_;  // as the other processes know this one
  std::map<std::string, std::shared_ptr<RemoteShards>> peers_;
  std::unique_ptr<DelayedTasks> timer_;
  std::shared_ptr<LocalShards> local_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Resharder> resharder_;
  std::vector<Registry::CallbackHandle> metrics_;
  std::unique_ptr<VectorFace> vector_face_;
  std::unique_ptr<ShardFace> shard_face_;
  CancellationSource stopping_;
  bool introduced_ = false;
  mutable absl::Mutex introduction_mutex_;
  size_t introductions_left_ ABSL_GUARDED_BY(introduction_mutex_) = 0;
  std::unique_ptr<ChangeFace> change_face_;
  std::unique_ptr<BackupJobs> backups_;
  std::unique_ptr<BackupFace> backup_face_;
  // Last, so that their tasks end before anything they use goes.
  std::unique_ptr<WorkQueue> writes_;
  std::unique_ptr<WorkQueue> reads_;
};

}  // namespace alcove::vector_search
