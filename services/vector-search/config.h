// What the configuration means for the rooms.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "alcove/config/v1/vector_search.pb.h"
#include "libs/store/store.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/shard/shard_host.h"

namespace alcove::vector_search {

// Who holds which shard.
struct ClusterPlan {
  std::vector<int32_t> own;            // shards of this process, ascending
  std::vector<std::string> addresses;  // [shard]: the process that holds it; empty for this one
};

// INVALID_ARGUMENT names what contradicts: a shard nobody holds, cluster.self not among the nodes, numbers out of
// range.
absl::StatusOr<ClusterPlan> PlanCluster(const config::v1::VectorSearchConfig& config);

store::StoreOptions StoreOptionsFrom(const config::v1::StoreConfig& config);
HostOptions HostOptionsFrom(const config::v1::VectorSearchConfig& config, const ClusterPlan& plan);
CoordinatorOptions CoordinatorOptionsFrom(const config::v1::VectorSearchConfig& config);

}  // namespace alcove::vector_search
