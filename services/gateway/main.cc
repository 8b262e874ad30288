// alcove-gateway: the public door. config → build → serve → drain.
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "alcove/config/v1/gateway.pb.h"
#include "libs/common/admin_server.h"
#include "libs/common/config.h"
#include "libs/common/log.h"
#include "libs/common/metrics.h"
#include "libs/common/net_address.h"
#include "libs/common/shutdown.h"
#include "libs/common/status.h"
#include "libs/common/version.h"
#include "libs/store/store.h"
#include "services/gateway/access/bootstrap.h"
#include "services/gateway/config.h"
#include "services/gateway/service/app.h"
#include "services/gateway/service/background.h"

namespace alcove::gateway {
namespace {

absl::Status Run(const alcove::config::v1::GatewayConfig& config, ShutdownSignal& shutdown) {
  ALCOVE_ASSIGN_OR_RETURN(GatewayOptions options, ReadOptions(config, kVersion));
  Registry& registry = DefaultRegistry();
  registry.AddProcessMetrics("gateway", kVersion);

  std::unique_ptr<store::Store> store;
  std::unique_ptr<KeyDirectory> directory;
  if (options.app.use_keys) {
    ALCOVE_ASSIGN_OR_RETURN(store, OpenStore(config.store()));
    ALCOVE_RETURN_IF_ERROR(Annotate(BootstrapKeys(*store, options.bootstrap), "making the first key"));
    directory = std::make_unique<KeyDirectory>(&store->keys(), options.keys);
  }
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<SharedState> shared,
                          SharedState::Create(options.app, store.get(), directory.get(), registry));
  std::optional<KeyRefresher> refresher;
  if (directory != nullptr) refresher.emplace(*directory, options.key_refresh);

  ALCOVE_ASSIGN_OR_RETURN(
      std::unique_ptr<net::Server> server,
      net::Server::Start(options.server, [&shared](net::Loop& loop) { return std::make_unique<App>(loop, *shared); }));
  std::vector<Registry::CallbackHandle> net_metrics = AddNetMetrics(*server, registry);
  std::unique_ptr<AdminServer> admin;
  if (!config.admin_listen().empty()) {
    AdminOptions admin_options;
    admin_options.listen = config.admin_listen();
    admin_options.registry = &registry;
    admin_options.config_yaml = ConfigToYaml(config);
    admin_options.ready = [&shared] {
      return shared->ready.load() ? absl::OkStatus() : absl::UnavailableError("see /health/ready of the public port");
    };
    ALCOVE_ASSIGN_OR_RETURN(admin, AdminServer::Start(std::move(admin_options)));
  }
  LogInfo("listening", {{"address", HostPort{options.server.address, server->port()}.ToString()},
                        {"threads", server->loop_count()},
                        {"tls", options.server.tls},
                        {"auth", options.app.use_keys ? "keys" : "none"},
                        {"version", kVersion}});

  shutdown.Wait();
  LogInfo("stopping", {{"reason", shutdown.reason()}, {"in_flight", server->in_flight()}});
  shared->draining.store(true);
  const absl::Status drained = server->Drain(options.drain_timeout);
  if (!drained.ok()) LogWarning("some requests were cut off", {{"error", drained}});
  admin.reset();
  // Calls of the store end on their loops, so the loops go last.
  shared->workers.join();
  net_metrics.clear();
  server.reset();
  LogInfo("stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace alcove::gateway

int main(int argc, char** argv) {
  using alcove::config::v1::GatewayConfig;
  alcove::ShutdownSignal& shutdown = alcove::ShutdownSignal::Install();
  const auto config = alcove::LoadConfigOrExit<GatewayConfig>(
      argc, argv,
      {.service = "gateway",
       .binary = "alcove-gateway",
       .description = "The public door of Alcove: REST and gRPC on one port.",
       .version = alcove::kVersion,
       .check = [](const google::protobuf::Message& message) {
         return alcove::gateway::ReadOptions(static_cast<const GatewayConfig&>(message), alcove::kVersion).status();
       }});
  alcove::LogOptions log;
  log.service = "alcove-gateway";
  log.level = alcove::ParseLogLevel(config.log().level()).value_or(alcove::LogLevel::kInfo);
  log.format = alcove::ParseLogFormat(config.log().format()).value_or(alcove::LogFormat::kText);
  alcove::InitLogging(log);
  const absl::Status status = alcove::gateway::Run(config, shutdown);
  if (!status.ok()) {
    alcove::LogError("cannot serve", {{"error", status}});
    return 1;
  }
  return 0;
}
