// alcove-cache: configuration, tiers, gRPC, drain.
#include <memory>

#include "libs/common/clock.h"
#include "libs/common/status.h"
#include "libs/common/version.h"
#include "libs/rpc/service_main.h"
#include "services/cache/config.h"
#include "services/cache/metrics.h"
#include "services/cache/service.h"

namespace alcove::cache {
namespace {

class Instance final : public rpc::ServiceInstance {
 public:
  static absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> Make(const config::v1::CacheConfig& config,
                                                                    const rpc::ServiceHost& host) {
    ALCOVE_ASSIGN_OR_RETURN(auto cache, TieredCache::Create(CacheOptions(config), RealClock()));
    return std::unique_ptr<rpc::ServiceInstance>(new Instance(std::move(cache), host));
  }

  std::vector<rpc::Service*> Services() override { return {&face_}; }
  void OnListening(const std::string& address) override { face_.SetAddress(address); }

 private:
  Instance(std::unique_ptr<TieredCache> cache, const rpc::ServiceHost& host)
      : cache_(std::move(cache)),
        face_(*cache_, {.registry = &host.registry}, *RealClock()),
        metrics_(PublishMetrics(*cache_, host.registry)) {}

  std::unique_ptr<TieredCache> cache_;
  CacheFace face_;
  std::vector<Registry::CallbackHandle> metrics_;
};

}  // namespace
}  // namespace alcove::cache

int main(int argc, char** argv) {
  return alcove::rpc::RunService<alcove::config::v1::CacheConfig>(
      argc, argv,
      {.service = "cache",
       .binary = "alcove-cache",
       .description = "Keeps answers in memory and Redis; lets one caller of many compute what is missing.",
       .version = alcove::kVersion,
       .defaults = {{"server.listen", "127.0.0.1:7105"}, {"server.admin_listen", "127.0.0.1:9105"}}},
      [](const alcove::config::v1::CacheConfig& config, const alcove::rpc::ServiceHost& host) {
        return alcove::cache::Instance::Make(config, host);
      });
}
