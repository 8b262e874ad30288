// alcove-inference: configuration, models, executor, gRPC, drain.
#include <memory>
#include <vector>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"
#include "libs/hpke/envelope.h"
#include "libs/rpc/service_main.h"
#include "services/inference/catalog.h"
#include "services/inference/config.h"
#include "services/inference/engine/ops.h"
#include "services/inference/service.h"

namespace alcove::inference {
namespace {

class Instance final : public rpc::ServiceInstance {
 public:
  static absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> Make(const config::v1::InferenceConfig& config,
                                                                    const rpc::ServiceHost& host) {
    ALCOVE_ASSIGN_OR_RETURN(const std::vector<ModelSource> sources, ModelSources(config));
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<const EncoderOps> ops, MakeBestCpuOps(config.precision()));
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<const ModelCatalog> catalog, ModelCatalog::Load(sources, *ops));
    auto sealing_key = config.sealing_key_file().empty()
                           ? absl::StatusOr<hpke::PrivateKey>(hpke::PrivateKey::Generate())
                           : hpke::LoadOrMakeKey(config.sealing_key_file());
    ALCOVE_RETURN_IF_ERROR(Annotate(sealing_key.status(), "sealing_key_file"));
    // For those who want to check that the key a client is given is this one.
    LogInfo("sealing key", {{"key_id", hpke::KeyName(sealing_key->public_key())}});
    return std::unique_ptr<rpc::ServiceInstance>(
        new Instance(config, host, std::move(ops), std::move(catalog), *std::move(sealing_key)));
  }

  std::vector<rpc::Service*> Services() override { return {&face_}; }
  void OnListening(const std::string& address) override { face_.SetAddress(address); }

 private:
  Instance(const config::v1::InferenceConfig& config, const rpc::ServiceHost& host,
           std::unique_ptr<const EncoderOps> ops, std::unique_ptr<const ModelCatalog> catalog,
           hpke::PrivateKey sealing_key)
      : ops_(std::move(ops)),
        catalog_(std::move(catalog)),
        executor_(WorkerThreads(config), RealClock(), &host.registry),
        pool_(WorkerThreads(config), "tokenize"),
        face_(*catalog_, executor_, std::move(sealing_key), {.registry = &host.registry, .pool = &pool_},
              *RealClock()) {
    const BatchLimits limits = ToBatchLimits(config.batching());
    for (const LoadedModel* model : catalog_->All()) executor_.AddModel(model->name(), model, limits);
  }

  // Destroyed from the last to the first: the face before what it calls, models after what runs them.
  std::unique_ptr<const EncoderOps> ops_;
  std::unique_ptr<const ModelCatalog> catalog_;
  Executor executor_;
  TaskPool pool_;
  InferenceFace face_;
};

}  // namespace
}  // namespace alcove::inference

int main(int argc, char** argv) {
  return alcove::rpc::RunService<alcove::config::v1::InferenceConfig>(
      argc, argv,
      {.service = "inference",
       .binary = "alcove-inference",
       .description = "Runs models: turns texts into vectors.",
       .version = ALCOVE_VERSION,
       .defaults = {{"server.listen", "127.0.0.1:7101"}, {"server.admin_listen", "127.0.0.1:9101"}}},
      [](const alcove::config::v1::InferenceConfig& config, const alcove::rpc::ServiceHost& host) {
        return alcove::inference::Instance::Make(config, host);
      });
}
