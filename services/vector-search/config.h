// What the configuration means for the rooms.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "alcove/config/v1/vector_search.pb.h"
#include "libs/common/metrics.h"
#include "libs/store/store.h"
#include "services/vector-search/backup/backup_jobs.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/replicas.h"
#include "services/vector-search/shard/shard_host.h"

namespace alcove::vector_search {

// Who holds which shard.
struct ClusterPlan {
  std::vector<int32_t> own;  // shards of this process, ascending
  // [shard]: the processes that hold it, at least one; this one is the empty text and comes first.
  std::vector<std::vector<std::string>> holders;
  std::string self;                // this process's address among the nodes; empty when it is not among them
  std::vector<std::string> peers;  // the other nodes' addresses
};

// Which of the nodes this process is follows from cluster.self, else from server.listen, else from being the only node
// with its shards. INVALID_ARGUMENT names what contradicts: a shard nobody holds, cluster.self not among the nodes or
// needed to tell replicas apart, numbers out of range.
absl::StatusOr<ClusterPlan> PlanCluster(const config::v1::VectorSearchConfig& config);

store::StoreOptions StoreOptionsFrom(const config::v1::StoreConfig& config);
HostOptions HostOptionsFrom(const config::v1::VectorSearchConfig& config, const ClusterPlan& plan);
CoordinatorOptions CoordinatorOptionsFrom(const config::v1::VectorSearchConfig& config);
BackupJobsOptions BackupJobsOptionsFrom(const config::v1::VectorSearchConfig& config, Registry& registry);
ReplicaOptions ReplicaOptionsFrom(const config::v1::VectorSearchConfig& config);

}  // namespace alcove::vector_search
