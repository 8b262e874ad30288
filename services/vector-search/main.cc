// alcove-vector-search: configuration → node → serve → drain.
#include <memory>
#include <utility>

#include "libs/common/status.h"
#include "libs/common/version.h"
#include "libs/rpc/service_main.h"
#include "services/vector-search/node.h"

namespace alcove::vector_search {
namespace {

class Instance final : public rpc::ServiceInstance {
 public:
  explicit Instance(std::unique_ptr<Node> node) : node_(std::move(node)) {}
  std::vector<rpc::Service*> Services() override { return node_->Services(); }
  absl::Status Ready() const override { return node_->Ready(); }
  void OnListening(const std::string& address) override { node_->OnListening(address); }
  void BeginDrain() override { node_->BeginDrain(); }
  void Drain(const DrainBudget&) override { node_->Stop(); }

 private:
  const std::unique_ptr<Node> node_;
};

}  // namespace
}  // namespace alcove::vector_search

int main(int argc, char** argv) {
  return alcove::rpc::RunService<alcove::config::v1::VectorSearchConfig>(
      argc, argv,
      {.service = "vector-search",
       .binary = "alcove-vector-search",
       .description = "Sharded vector search over a durable log.",
       .version = alcove::kVersion,
       .defaults = {{"server.listen", "127.0.0.1:7110"}, {"server.admin_listen", "127.0.0.1:9110"}},
       .check =
           [](const google::protobuf::Message& message) {
             const auto& config = static_cast<const alcove::config::v1::VectorSearchConfig&>(message);
             return alcove::vector_search::PlanCluster(config).status();
           }},
      [](const alcove::config::v1::VectorSearchConfig& config,
         const alcove::rpc::ServiceHost& host) -> absl::StatusOr<std::unique_ptr<alcove::rpc::ServiceInstance>> {
        ALCOVE_ASSIGN_OR_RETURN(auto node, alcove::vector_search::Node::Make(config, host.registry, host.loops));
        return std::make_unique<alcove::vector_search::Instance>(std::move(node));
      });
}
