// alcove-fhe-proxy: configuration, key store, gRPC, drain.
#include <memory>
#include <vector>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"
#include "libs/fhe/poly/isa.h"
#include "libs/rpc/service_main.h"
#include "services/fhe-proxy/config.h"
#include "services/fhe-proxy/service.h"

namespace alcove::fhe_proxy {
namespace {

class Instance final : public rpc::ServiceInstance {
 public:
  static absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> Make(const config::v1::FheProxyConfig& config,
                                                                    const rpc::ServiceHost& host) {
    ALCOVE_ASSIGN_OR_RETURN(auto keys, KeyStore::Open(KeyStoreOptions(config), RealClock()));
    const KeyStore::ReloadReport& report = keys->reload_report();
    LogInfo("keys reloaded", {{"key_sets", report.key_sets}, {"bytes", report.bytes}});
    if (report.damaged > 0) LogError("damaged key files were set aside", {{"files", report.damaged}});
    if (report.orphaned > 0) LogWarning("keys for parameters no longer offered", {{"files", report.orphaned}});
    LogInfo("kernels", {{"instruction_set", fhe::IsaName(fhe::BestIsa())}});
    return std::unique_ptr<rpc::ServiceInstance>(new Instance(config, host, std::move(keys)));
  }

  std::vector<rpc::ServiceEntry> Services() override {
    return {{&face_, private_search::v1::PrivateSearchService::service_full_name()}};
  }
  void OnListening(const std::string& address) override { face_.SetAddress(address); }

 private:
  Instance(const config::v1::FheProxyConfig& config, const rpc::ServiceHost& host, std::unique_ptr<KeyStore> keys)
      : keys_(std::move(keys)),
        pool_(WorkerThreads(config), "fhe"),
        face_(*keys_, config.keys().max_upload_bytes(), {.registry = &host.registry, .pool = &pool_}, *RealClock()) {
    const auto gauge = [&](absl::string_view name, absl::string_view help, auto read) {
      metrics_.push_back(host.registry.AddGaugeCallback(
          name, help, {}, [this, read] { return static_cast<double>(read(keys_->stats())); }));
    };
    gauge("alcove_fhe_key_sets", "Key sets stored.", [](const KeyStore::Stats& s) { return s.key_sets; });
    gauge("alcove_fhe_key_stored_bytes", "Bytes of stored keys.",
          [](const KeyStore::Stats& s) { return s.stored_bytes; });
    gauge("alcove_fhe_key_loaded_bytes", "Bytes of keys parsed in memory.",
          [](const KeyStore::Stats& s) { return s.loaded_bytes; });
    metrics_.push_back(host.registry.AddCounterCallback(
        "alcove_fhe_key_evictions_total", "Key sets removed to make room for newer ones of their tenant.", {},
        [this] { return static_cast<double>(keys_->stats().evictions); }));
  }

  std::unique_ptr<KeyStore> keys_;
  TaskPool pool_;
  PrivateSearchFace face_;
  // Last, so that no scrape reads the members above while they go.
  std::vector<Registry::CallbackHandle> metrics_;
};

}  // namespace
}  // namespace alcove::fhe_proxy

int main(int argc, char** argv) {
  return alcove::rpc::RunService<alcove::config::v1::FheProxyConfig>(
      argc, argv,
      {.service = "fhe-proxy",
       .binary = "alcove-fhe-proxy",
       .description = "Computes on encrypted queries; holds evaluation keys, never a secret key.",
       .version = ALCOVE_VERSION,
       .defaults = {{"server.listen", "127.0.0.1:7104"}, {"server.admin_listen", "127.0.0.1:9104"}}},
      [](const alcove::config::v1::FheProxyConfig& config, const alcove::rpc::ServiceHost& host) {
        return alcove::fhe_proxy::Instance::Make(config, host);
      });
}
