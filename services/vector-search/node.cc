#include "services/vector-search/node.h"

#include <map>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/rpc/channel.h"
#include "services/vector-search/remote_shards.h"

namespace alcove::vector_search {
namespace {

// How soon a collection made or dropped through another process is known here.
constexpr absl::Duration kCatalogPoll = absl::Milliseconds(100);

// The embedded store's folder is made on first use; a server's database is not ours to make.
absl::Status PrepareStoreFolder(absl::string_view url) {
  constexpr absl::string_view kSqlite = "sqlite:";
  if (!absl::StartsWith(url, kSqlite)) return absl::OkStatus();
  return EnsureDirectory(DirectoryOf(url.substr(kSqlite.size())), 0750);
}

absl::StatusOr<ClusterMap> MakeClusterMap(const config::v1::VectorSearchConfig& config, const ClusterPlan& plan,
                                          std::shared_ptr<LocalShards> local) {
  const auto& tls = config.cluster().tls();
  rpc::ChannelOptions options;
  options.max_message_bytes = config.server().max_message_bytes();
  options.tls = {tls.certificate(), tls.private_key(), tls.client_ca()};
  std::map<std::string, std::shared_ptr<ShardClient>> processes;
  ClusterMap map;
  for (const std::string& address : plan.addresses) {
    if (address.empty()) {
      map.push_back(local);
      continue;
    }
    std::shared_ptr<ShardClient>& process = processes[address];
    if (process == nullptr) {
      ALCOVE_ASSIGN_OR_RETURN(auto channel, rpc::MakeChannel(address, options));
      process = std::make_shared<RemoteShards>(address, std::move(channel));
    }
    map.push_back(process);
  }
  return map;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Make(const config::v1::VectorSearchConfig& config, Registry& registry) {
  std::unique_ptr<Node> node(new Node());
  ALCOVE_ASSIGN_OR_RETURN(const ClusterPlan plan, PlanCluster(config));
  ALCOVE_RETURN_IF_ERROR(PrepareStoreFolder(config.store().url()));
  ALCOVE_ASSIGN_OR_RETURN(node->store_, store::Open(config.store().url(), StoreOptionsFrom(config.store())));
  LogInfo("store open", {{"location", node->store_->location()}});

  const int threads = config.search().threads() > 0 ? static_cast<int>(config.search().threads()) : AvailableCpus();
  node->reads_ = std::make_unique<WorkQueue>(threads, config.search().max_queue(), "search");
  node->writes_ =
      std::make_unique<WorkQueue>(static_cast<int>(config.write().threads()), config.write().max_queue(), "write");
  node->catalog_ = std::make_unique<Catalog>(&node->store_->collections());
  HostOptions host = HostOptionsFrom(config, plan);
  host.registry = &registry;
  node->host_ = std::make_unique<ShardHost>(std::move(host), node->catalog_.get(), &node->store_->log());
  ALCOVE_RETURN_IF_ERROR(node->host_->Start());
  node->catalog_->StartPolling(kCatalogPoll);

  node->local_ = std::make_shared<LocalShards>(node->host_.get(), &node->reads_->pool());
  ALCOVE_ASSIGN_OR_RETURN(ClusterMap cluster, MakeClusterMap(config, plan, node->local_));
  CoordinatorOptions coordinator = CoordinatorOptionsFrom(config);
  coordinator.registry = &registry;
  coordinator.pool = &node->reads_->pool();
  node->coordinator_ =
      std::make_unique<Coordinator>(coordinator, node->catalog_.get(), node->store_.get(), std::move(cluster));

  for (const auto& [name, queue] : {std::pair{"search", node->reads_.get()}, std::pair{"write", node->writes_.get()}}) {
    node->metrics_.push_back(
        registry.AddGaugeCallback("alcove_vector_queue_depth", "Calls waiting for a thread.", {{"queue", name}},
                                  [queue = queue] { return static_cast<double>(queue->pool().QueueDepth()); }));
  }
  const rpc::MethodOptions options{.registry = &registry};
  node->vector_face_ = std::make_unique<VectorFace>(*node->coordinator_, *node->reads_, *node->writes_, options);
  node->shard_face_ = std::make_unique<ShardFace>(*node->host_, *node->catalog_, *node->local_, *node->reads_, options);
  return node;
}

Node::~Node() { Stop(); }

std::vector<rpc::ServiceEntry> Node::Services() {
  return {{vector_face_.get(), vector::v1::VectorService::service_full_name()},
          {shard_face_.get(), vector::v1::ShardService::service_full_name()}};
}

absl::Status Node::Ready() const {
  const std::string trouble = host_->Trouble();
  return trouble.empty() ? absl::OkStatus() : absl::UnavailableError(trouble);
}

void Node::Stop() {
  metrics_.clear();
  if (catalog_ != nullptr) catalog_->Stop();
  if (host_ != nullptr) host_->Stop();
}

}  // namespace alcove::vector_search
