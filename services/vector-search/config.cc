#include "services/vector-search/config.h"

#include <algorithm>
#include <set>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/task_pool.h"

namespace alcove::vector_search {
namespace {

constexpr uint32_t kMaxShardNumber = 4095;

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace

absl::StatusOr<ClusterPlan> PlanCluster(const config::v1::VectorSearchConfig& config) {
  const auto& cluster = config.cluster();
  std::set<int32_t> own;
  for (const uint32_t shard : config.node().shards()) {
    if (shard > kMaxShardNumber) return InvalidField("node.shards", absl::StrCat(shard, " is past ", kMaxShardNumber));
    own.insert(static_cast<int32_t>(shard));
  }
  bool self_found = false;
  for (const auto& node : cluster.nodes()) {
    if (node.address() != cluster.self()) continue;
    self_found = true;
    if (!config.node().shards().empty()) continue;
    for (const uint32_t shard : node.shards()) own.insert(static_cast<int32_t>(shard));
  }
  if (!cluster.self().empty() && !cluster.nodes().empty() && !self_found) {
    return InvalidField("cluster.self", absl::StrCat("\"", cluster.self(), "\" is not among cluster.nodes"));
  }
  if (own.empty()) {
    if (!cluster.nodes().empty()) {
      return InvalidField("node.shards", "is empty and cluster.self does not say which node this process is");
    }
    for (uint32_t shard = 0; shard < cluster.shard_count(); ++shard) own.insert(static_cast<int32_t>(shard));
  }

  size_t shards = cluster.shard_count();
  for (const int32_t shard : own) shards = std::max(shards, static_cast<size_t>(shard) + 1);
  for (const auto& node : cluster.nodes()) {
    for (const uint32_t shard : node.shards()) {
      if (shard > kMaxShardNumber) {
        return InvalidField("cluster.nodes", absl::StrCat(shard, " is past ", kMaxShardNumber));
      }
      shards = std::max(shards, static_cast<size_t>(shard) + 1);
    }
  }
  ClusterPlan plan;
  plan.own.assign(own.begin(), own.end());
  plan.addresses.resize(shards);
  for (size_t shard = 0; shard < shards; ++shard) {
    if (own.contains(static_cast<int32_t>(shard))) continue;
    for (const auto& node : cluster.nodes()) {
      if (std::find(node.shards().begin(), node.shards().end(), shard) == node.shards().end()) continue;
      plan.addresses[shard] = node.address();
      break;
    }
    if (plan.addresses[shard].empty()) {
      return InvalidField("cluster.nodes", absl::StrCat("no node holds shard ", shard, " of ", shards));
    }
  }
  return plan;
}

store::StoreOptions StoreOptionsFrom(const config::v1::StoreConfig& config) {
  store::StoreOptions options;
  options.durability = config.durability() == "normal" ? store::Durability::kNormal : store::Durability::kFull;
  options.connections = std::max(2, static_cast<int>(config.connections()));
  return options;
}

HostOptions HostOptionsFrom(const config::v1::VectorSearchConfig& config, const ClusterPlan& plan) {
  HostOptions options;
  options.shards = plan.own;
  options.data_dir = config.data_dir();
  options.index_threads =
      config.write().index_threads() > 0 ? config.write().index_threads() : static_cast<size_t>(AvailableCpus());
  options.snapshot_interval = FromProto(config.snapshot().interval());
  options.snapshot_records = static_cast<int64_t>(config.snapshot().records());
  options.compact = config.write().compact();
  return options;
}

CoordinatorOptions CoordinatorOptionsFrom(const config::v1::VectorSearchConfig& config) {
  CoordinatorOptions options;
  options.default_shards = static_cast<int32_t>(config.cluster().shard_count());
  options.shard_timeout = FromProto(config.search().shard_timeout());
  options.write_wait = FromProto(config.write().wait_timeout());
  return options;
}

}  // namespace alcove::vector_search
