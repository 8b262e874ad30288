// The life of a backend process: configuration, admin server, domain, gRPC, drain. A main.cc is
//
//   int main(int argc, char** argv) {
//     return alcove::rpc::RunService<alcove::config::v1::CacheConfig>(
//         argc, argv,
//         {.service = "cache", .binary = "alcove-cache", .description = "Multi-level and semantic cache.",
//          .version = ALCOVE_VERSION,
//          .defaults = {{"server.listen", "127.0.0.1:7105"}, {"server.admin_listen", "127.0.0.1:9105"}}},
//         [](const alcove::config::v1::CacheConfig& config, const alcove::rpc::ServiceHost& host)
//             -> absl::StatusOr<std::unique_ptr<alcove::rpc::ServiceInstance>> { return CacheInstance::Make(config,
//             host); });
//   }
//
// In order: load the configuration (exit 2 when wrong), start logging, open the admin server (live, not ready), build
// the instance, listen for gRPC, and serve until SIGTERM or SIGINT. Then: not ready and NOT_SERVING, refuse new calls,
// wait for those in flight, Drain() the instance, exit 0. A failure to start is logged and exits 1; a second signal
// exits at once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "alcove/config/v1/common.pb.h"
#include "libs/common/admin_server.h"
#include "libs/common/config.h"
#include "libs/common/metrics.h"
#include "libs/common/shutdown.h"
#include "libs/common/status.h"
#include "libs/rpc/server.h"

#ifndef ALCOVE_VERSION
#define ALCOVE_VERSION "0.1.0"
#endif

namespace alcove::rpc {

// What the frame gives to a service while it is built and afterwards; outlives the instance.
struct ServiceHost {
  Registry& registry;
  net::LoopThreads& loops;   // the server's; for calls to other processes too
  ShutdownSignal& shutdown;  // a build that takes long looks at it
};

// A built service.
class ServiceInstance {
 public:
  virtual ~ServiceInstance() = default;
  // The services to serve; they live as long as the instance.
  virtual std::vector<Service*> Services() = 0;
  // Whether requests should come here now. Asked ten times a second and on every /health/ready; must be quick and
  // thread safe.
  virtual absl::Status Ready() const { return absl::OkStatus(); }
  // The gRPC address is known.
  virtual void OnListening(const std::string& address) {}
  // A shutdown begins: calls in flight still run. Stop what would keep them from ending.
  virtual void BeginDrain() {}
  // No call runs any more: flush and close within the budget.
  virtual void Drain(const DrainBudget& budget) {}
  // More pages of the admin server, by path.
  virtual std::map<std::string, AdminPage> AdminPages() { return {}; }
};

using BuildService = std::function<absl::StatusOr<std::unique_ptr<ServiceInstance>>(const ServiceHost& host)>;

// RunService() without the configuration's type. Returns the exit code.
int RunLoadedService(const ConfigProgram& program, const config::v1::LogConfig& log,
                     const config::v1::ServerConfig& server, const std::string& config_yaml, const BuildService& build);

// INVALID_ARGUMENT or NOT_FOUND, naming the setting, when the server could not use its files.
absl::Status CheckServerConfig(const config::v1::ServerConfig& server);

// `Config` is a message with the fields log (LogConfig) and server (ServerConfig).
template <typename Config, typename Build>
int RunService(int argc, char** argv, const ConfigProgram& program, Build build) {
  ConfigProgram checked = program;
  checked.check = [&](const google::protobuf::Message& message) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckServerConfig(static_cast<const Config&>(message).server()));
    return program.check == nullptr ? absl::OkStatus() : program.check(message);
  };
  const auto config = LoadConfigOrExit<Config>(argc, argv, checked);
  return RunLoadedService(program, config.log(), config.server(), ConfigToYaml(config),
                          [&](const ServiceHost& host) { return build(config, host); });
}

}  // namespace alcove::rpc
