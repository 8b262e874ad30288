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

namespace {

std::set<int32_t> ShardsOf(const config::v1::VectorNode& node) {
  std::set<int32_t> shards;
  for (const uint32_t shard : node.shards()) shards.insert(static_cast<int32_t>(shard));
  return shards;
}

// The address among cluster.nodes that stands for this process; empty when it is not among them.
absl::StatusOr<std::string> FindSelf(const config::v1::VectorSearchConfig& config) {
  const auto& cluster = config.cluster();
  const auto has = [&](const std::string& address) {
    return std::any_of(cluster.nodes().begin(), cluster.nodes().end(),
                       [&](const auto& node) { return node.address() == address; });
  };
  if (!cluster.self().empty()) {
    if (!cluster.nodes().empty() && !has(cluster.self())) {
      return InvalidField("cluster.self", absl::StrCat("\"", cluster.self(), "\" is not among cluster.nodes"));
    }
    return cluster.self();
  }
  if (has(config.server().listen())) return config.server().listen();
  std::set<int32_t> own;
  for (const uint32_t shard : config.node().shards()) own.insert(static_cast<int32_t>(shard));
  std::string self;
  if (own.empty()) return self;
  for (const auto& node : cluster.nodes()) {
    if (ShardsOf(node) != own) continue;
    if (!self.empty()) {
      return InvalidField("cluster.self", absl::StrCat("must say which node this process is: ", self, " and ",
                                                       node.address(), " hold the same shards"));
    }
    self = node.address();
  }
  return self;
}

}  // namespace

absl::StatusOr<ClusterPlan> PlanCluster(const config::v1::VectorSearchConfig& config) {
  const auto& cluster = config.cluster();
  ClusterPlan plan;
  ALCOVE_ASSIGN_OR_RETURN(plan.self, FindSelf(config));
  std::set<int32_t> own;
  for (const uint32_t shard : config.node().shards()) {
    if (shard > kMaxShardNumber) return InvalidField("node.shards", absl::StrCat(shard, " is past ", kMaxShardNumber));
    own.insert(static_cast<int32_t>(shard));
  }
  for (const auto& node : cluster.nodes()) {
    for (const uint32_t shard : node.shards()) {
      if (shard > kMaxShardNumber) {
        return InvalidField("cluster.nodes", absl::StrCat(shard, " is past ", kMaxShardNumber));
      }
    }
    if (config.node().shards().empty() && !plan.self.empty() && node.address() == plan.self) own = ShardsOf(node);
  }
  if (own.empty()) {
    if (!cluster.nodes().empty()) {
      return InvalidField("node.shards", "is empty and cluster.self does not say which node this process is");
    }
    for (uint32_t shard = 0; shard < cluster.shard_count(); ++shard) own.insert(static_cast<int32_t>(shard));
  }

  size_t shards = std::max(static_cast<size_t>(cluster.shard_count()), static_cast<size_t>(*own.rbegin()) + 1);
  for (const auto& node : cluster.nodes()) {
    for (const uint32_t shard : node.shards()) shards = std::max(shards, static_cast<size_t>(shard) + 1);
  }
  plan.own.assign(own.begin(), own.end());
  plan.holders.resize(shards);
  for (const int32_t shard : own) plan.holders[static_cast<size_t>(shard)].emplace_back();
  for (const auto& node : cluster.nodes()) {
    if (node.address() == plan.self) continue;
    plan.peers.push_back(node.address());
    for (const int32_t shard : ShardsOf(node)) plan.holders[static_cast<size_t>(shard)].push_back(node.address());
  }
  for (size_t shard = 0; shard < shards; ++shard) {
    if (plan.holders[shard].empty()) {
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
  for (const auto& quota : config.quotas()) {
    options.quotas[quota.tenant()] = {static_cast<int64_t>(quota.collections()), static_cast<int64_t>(quota.points()),
                                      static_cast<int64_t>(quota.bytes())};
  }
  return options;
}

BackupJobsOptions BackupJobsOptionsFrom(const config::v1::VectorSearchConfig& config, Registry& registry) {
  BackupJobsOptions options;
  options.directory = config.backup().directory();
  options.threads = static_cast<int>(config.backup().threads());
  options.registry = &registry;
  return options;
}

ReplicaOptions ReplicaOptionsFrom(const config::v1::VectorSearchConfig& config) {
  ReplicaOptions options;
  options.hedge = config.search().hedge_percent() > 0;
  options.hedge_ratio = config.search().hedge_percent() / 100.0;
  return options;
}

}  // namespace alcove::vector_search
