#include "services/vector-search/node.h"

#include <map>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/remote_shards.h"

namespace alcove::vector_search {
namespace {

// How soon a collection made or dropped through another process is known here.
constexpr absl::Duration kCatalogPoll = absl::Milliseconds(100);
// The longest a start waits for the other processes to know of it.
constexpr absl::Duration kIntroduction = absl::Seconds(5);
// The longest pause between attempts to connect to a process that is away.
constexpr absl::Duration kReconnect = absl::Milliseconds(500);

// The embedded store's folder is made on first use; a server's database is not ours to make.
absl::Status PrepareStoreFolder(absl::string_view url) {
  constexpr absl::string_view kSqlite = "sqlite:";
  if (!absl::StartsWith(url, kSqlite)) return absl::OkStatus();
  return EnsureDirectory(DirectoryOf(url.substr(kSqlite.size())), 0750);
}

absl::StatusOr<std::map<std::string, std::shared_ptr<RemoteShards>>> MakePeers(
    const config::v1::VectorSearchConfig& config, const ClusterPlan& plan, const net::LoopThreads& loops,
    TaskPool* pool) {
  const auto& tls = config.cluster().tls();
  rpc::ClientOptions options;
  options.max_message_bytes = config.server().max_message_bytes();
  options.tls = {tls.certificate(), tls.private_key(), tls.client_ca()};
  options.max_reconnect_backoff = kReconnect;
  std::map<std::string, std::shared_ptr<RemoteShards>> peers;
  for (const std::string& address : plan.peers) {
    ALCOVE_ASSIGN_OR_RETURN(auto client, rpc::Client::Make(loops, address, options));
    peers[address] = std::make_shared<RemoteShards>(std::move(client), pool);
  }
  return peers;
}

ClusterMap MakeClusterMap(const ClusterPlan& plan, const std::shared_ptr<LocalShards>& local,
                          const std::map<std::string, std::shared_ptr<RemoteShards>>& peers,
                          const ReplicaOptions& options, Registry& registry, DelayedTasks* timer) {
  const ReplicaCounters counters = ReplicaCounters::Make(registry);
  std::map<std::string, std::shared_ptr<ProcessHealth>> health;
  std::map<std::vector<std::string>, std::shared_ptr<ShardClient>> clients;
  ClusterMap map;
  for (const std::vector<std::string>& holders : plan.holders) {
    std::shared_ptr<ShardClient>& client = clients[holders];
    if (client == nullptr && holders == std::vector<std::string>{""}) client = local;
    if (client == nullptr) {
      std::vector<Replica> replicas;
      for (const std::string& address : holders) {
        std::shared_ptr<ProcessHealth>& known = health[address];
        if (known == nullptr) known = std::make_shared<ProcessHealth>();
        replicas.push_back({address.empty() ? std::static_pointer_cast<ShardClient>(local) : peers.at(address), known});
      }
      client = Replicas::Make(options, counters, std::move(replicas), timer);
    }
    map.push_back(client);
  }
  return map;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Make(const config::v1::VectorSearchConfig& config, Registry& registry,
                                                 const net::LoopThreads& loops) {
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

  node->local_ = std::make_shared<LocalShards>(node->host_.get(), node->catalog_.get(), &node->reads_->pool());
  node->self_ = plan.self;
  ALCOVE_ASSIGN_OR_RETURN(node->peers_, MakePeers(config, plan, loops, &node->reads_->pool()));
  node->introductions_left_ = node->peers_.size();
  node->timer_ = std::make_unique<DelayedTasks>();
  ClusterMap cluster =
      MakeClusterMap(plan, node->local_, node->peers_, ReplicaOptionsFrom(config), registry, node->timer_.get());
  std::vector<std::shared_ptr<ShardClient>> peers;
  for (const auto& [address, peer] : node->peers_) peers.push_back(peer);
  CoordinatorOptions coordinator = CoordinatorOptionsFrom(config);
  coordinator.registry = &registry;
  coordinator.pool = &node->reads_->pool();
  node->coordinator_ = std::make_unique<Coordinator>(coordinator, node->catalog_.get(), node->store_.get(),
                                                     std::move(cluster), std::move(peers));

  for (const auto& [name, queue] : {std::pair{"search", node->reads_.get()}, std::pair{"write", node->writes_.get()}}) {
    node->metrics_.push_back(
        registry.AddGaugeCallback("alcove_vector_queue_depth", "Calls waiting for a thread.", {{"queue", name}},
                                  [queue = queue] { return static_cast<double>(queue->pool().QueueDepth()); }));
  }
  node->resharder_ = std::make_unique<Resharder>(node->catalog_.get(), node->coordinator_.get());
  const rpc::MethodOptions options{.registry = &registry};
  node->vector_face_ = std::make_unique<VectorFace>(*node->coordinator_, *node->reads_, *node->writes_, options);
  node->shard_face_ = std::make_unique<ShardFace>(*node->host_, *node->catalog_, *node->local_, *node->reads_, options);
  std::map<std::string, ShardFace::Connect> connects;
  for (const auto& [address, peer] : node->peers_) {
    connects[address] = [peer = peer](const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
      peer->Connect(ctx, std::move(done));
    };
  }
  node->shard_face_->SetPeers(std::move(connects));
  node->backups_ = std::make_unique<BackupJobs>(
      BackupJobsOptionsFrom(config, registry), &node->store_->backups(),
      BackupHooks{.check_room = [coordinator = node->coordinator_.get()](
                                    const std::string& tenant, int64_t collections,
                                    int64_t points) { return coordinator->CheckRoom(tenant, collections, points); },
                  .restored = [coordinator = node->coordinator_.get()] { coordinator->SpreadCatalog(); }});
  node->backup_face_ = std::make_unique<BackupFace>(*node->backups_, *node->catalog_, *node->writes_, options);
  node->change_face_ = std::make_unique<ChangeFace>(*node->catalog_, node->store_->log(), *node->reads_, options);
  return node;
}

Node::~Node() { Stop(); }

std::vector<rpc::Service*> Node::Services() {
  return {vector_face_.get(), shard_face_.get(), change_face_.get(), backup_face_.get()};
}

absl::Status Node::Ready() const {
  const std::string trouble = host_->Trouble();
  if (!trouble.empty()) return absl::UnavailableError(trouble);
  absl::MutexLock lock(&introduction_mutex_);
  if (introductions_left_ == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(introductions_left_, " other processes do not know of this one yet"));
}

void Node::OnListening(const std::string& address) {
  shard_face_->SetAddress(address);
  const RequestContext ctx = RequestContext().WithTimeout(kIntroduction).WithCancellation(stopping_.token());
  for (const auto& [peer_address, peer] : peers_) {
    peer->Introduce(ctx, self_.empty() ? address : self_, [this, name = peer_address](absl::Status status) {
      if (!status.ok()) LogInfo("another process is not there yet", {{"address", name}, {"error", status}});
      absl::MutexLock lock(&introduction_mutex_);
      --introductions_left_;
    });
  }
  introduced_ = true;
}

void Node::BeginDrain() {
  shard_face_->SetDraining();
  vector_face_->BeginDrain();
}

void Node::Stop() {
  metrics_.clear();
  stopping_.Cancel(absl::CancelledError("the process is stopping"));
  if (introduced_) {
    absl::MutexLock lock(&introduction_mutex_);
    const auto all = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(introduction_mutex_) { return introductions_left_ == 0; };
    introduction_mutex_.Await(absl::Condition(&all));
  }
  if (backups_ != nullptr) backups_->Stop();
  if (resharder_ != nullptr) resharder_->Stop();
  if (catalog_ != nullptr) catalog_->Stop();
  if (host_ != nullptr) host_->Stop();
  for (const auto& [address, peer] : peers_) peer->Close();
}

}  // namespace alcove::vector_search
