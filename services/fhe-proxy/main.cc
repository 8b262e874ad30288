// alcove-fhe-proxy: configuration, key store, collections, gRPC, drain.
#include <memory>
#include <vector>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"
#include "libs/fhe/poly/isa.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/service_main.h"
#include "services/fhe-proxy/config.h"
#include "services/fhe-proxy/service.h"
#include "services/fhe-proxy/vector_source.h"

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
    ALCOVE_ASSIGN_OR_RETURN(const std::string target, VectorSearchTarget(config));
    std::shared_ptr<grpc::Channel> channel;
    if (!target.empty()) {
      const auto& tls = config.vector_search_tls();
      rpc::ChannelOptions options;
      options.tls = {tls.certificate(), tls.private_key(), tls.client_ca()};
      ALCOVE_ASSIGN_OR_RETURN(channel, rpc::MakeChannel(target, options));
    }
    ALCOVE_ASSIGN_OR_RETURN(auto classifiers, ClassifierStore::Open(ClassifierOptions(config)));
    if (classifiers->damaged() > 0) {
      LogError("damaged classifiers were set aside", {{"files", classifiers->damaged()}});
    }
    LogInfo("kernels", {{"instruction_set", fhe::IsaName(fhe::BestIsa())}});
    std::unique_ptr<Instance> instance(new Instance(config, std::move(keys), std::move(classifiers), channel));
    ALCOVE_RETURN_IF_ERROR(instance->Begin(config, host));
    return std::unique_ptr<rpc::ServiceInstance>(std::move(instance));
  }

  std::vector<rpc::Service*> Services() override { return {face_.get()}; }
  void OnListening(const std::string& address) override { face_->SetAddress(address); }

 private:
  Instance(const config::v1::FheProxyConfig& config, std::unique_ptr<KeyStore> keys,
           std::unique_ptr<ClassifierStore> classifiers, std::shared_ptr<grpc::Channel> channel)
      : keys_(std::move(keys)),
        classifiers_(std::move(classifiers)),
        source_(std::move(channel)),
        compute_(WorkerThreads(config), "fhe") {}

  absl::Status Begin(const config::v1::FheProxyConfig& config, const rpc::ServiceHost& host) {
    ALCOVE_ASSIGN_OR_RETURN(budget_, PrivacyBudget::Open(BudgetOptions(config), RealClock()));
    ALCOVE_ASSIGN_OR_RETURN(collections_,
                            Collections::Open(CollectionsOptions(config), &source_, &compute_, RealClock()));
    face_ = std::make_unique<PrivateSearchFace>(
        PrivateSearchFace::Parts{keys_.get(), collections_.get(), classifiers_.get(), budget_.get(), &compute_,
                                 RealClock(), config.keys().max_upload_bytes(), config.database().max_queries()},
        rpc::MethodOptions{.registry = &host.registry, .pool = &calls_});
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
    const auto encoded = [&](absl::string_view name, absl::string_view help, auto read) {
      metrics_.push_back(host.registry.AddGaugeCallback(
          name, help, {}, [this, read] { return static_cast<double>(read(collections_->stats())); }));
    };
    encoded("alcove_fhe_encoded_collections", "Collections encoded in memory.",
            [](const Collections::Stats& s) { return s.collections; });
    encoded("alcove_fhe_encoded_rows", "Rows of encoded collections.",
            [](const Collections::Stats& s) { return s.rows; });
    encoded("alcove_fhe_encoded_bytes", "Memory of encoded collections.",
            [](const Collections::Stats& s) { return s.memory_bytes; });
    const auto counter = [&](absl::string_view name, absl::string_view help, auto read) {
      metrics_.push_back(host.registry.AddCounterCallback(
          name, help, {}, [this, read] { return static_cast<double>(read(collections_->stats())); }));
    };
    counter("alcove_fhe_encodings_total", "Collections encoded from the beginning of their log.",
            [](const Collections::Stats& s) { return s.builds; });
    counter("alcove_fhe_encoded_evictions_total", "Encoded collections put away to make room for others.",
            [](const Collections::Stats& s) { return s.evictions; });
    return absl::OkStatus();
  }

  // Calls mostly wait: for a collection to be encoded, or for a client to read.
  static constexpr int kCallThreads = 16;

  std::unique_ptr<KeyStore> keys_;
  std::unique_ptr<ClassifierStore> classifiers_;
  std::unique_ptr<PrivacyBudget> budget_;
  VectorSource source_;
  TaskPool compute_;
  std::unique_ptr<Collections> collections_;
  std::unique_ptr<PrivateSearchFace> face_;
  TaskPool calls_{kCallThreads, "fhe-call"};
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
