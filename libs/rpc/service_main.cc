#include "libs/rpc/service_main.h"

#include <cstdlib>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>

#include "libs/common/cpu_features.h"
#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::rpc {
namespace {

constexpr absl::Duration kReadinessPoll = absl::Milliseconds(100);

// gRPC's own complaints become lines of our log.
void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug;
  Log(level, "grpc", {{"detail", args->message}, {"file", args->file}, {"line", args->line}});
}

// What /health/ready answers, through the stages of a process; grpc.health.v1 says the same, and no later. Thread safe.
class Readiness {
 public:
  absl::Status Ask() {
    absl::MutexLock lock(&mu_);
    if (instance_ == nullptr) return stage_;
    absl::Status ready = instance_->Ready();
    server_->SetServing(ready.ok());
    return ready;
  }
  void Serve(const ServiceInstance* instance, Server* server) {
    absl::MutexLock lock(&mu_);
    instance_ = instance;
    server_ = server;
  }
  void Stop() {
    absl::MutexLock lock(&mu_);
    instance_ = nullptr;
    stage_ = absl::UnavailableError("draining");
  }

 private:
  absl::Mutex mu_;
  absl::Status stage_ ABSL_GUARDED_BY(mu_) = absl::UnavailableError("starting");
  const ServiceInstance* instance_ ABSL_GUARDED_BY(mu_) = nullptr;
  Server* server_ ABSL_GUARDED_BY(mu_) = nullptr;
};

LogOptions LogOptionsFrom(const ConfigProgram& program, const config::v1::LogConfig& log) {
  LogOptions options;
  options.level = ParseLogLevel(log.level()).value_or(LogLevel::kInfo);
  options.format = ParseLogFormat(log.format()).value_or(LogFormat::kText);
  options.service = program.binary;
  return options;
}

ServerOptions ServerOptionsFrom(const config::v1::ServerConfig& config, net::LoopThreads& loops) {
  ServerOptions options;
  options.listen = config.listen();
  options.max_message_bytes = config.max_message_bytes();
  options.loops = &loops;
  options.tls = {config.tls().certificate(), config.tls().private_key(), config.tls().client_ca()};
  return options;
}

absl::Duration DrainTimeout(const config::v1::ServerConfig& config) {
  return absl::Seconds(config.drain_timeout().seconds()) + absl::Nanoseconds(config.drain_timeout().nanos());
}

// Serves until asked to stop, then drains. The error is why it could not start.
absl::Status Run(const ConfigProgram& program, const config::v1::ServerConfig& config, const std::string& config_yaml,
                 const BuildService& build, ShutdownSignal& shutdown) {
  Registry& registry = DefaultRegistry();
  registry.AddProcessMetrics(program.binary, program.version);
  Readiness readiness;
  net::LoopThreads loops(DefaultLoopCount());
  // Before the admin server, whose pages use it.
  std::unique_ptr<ServiceInstance> instance;
  std::unique_ptr<AdminServer> admin;
  if (!config.admin_listen().empty()) {
    AdminOptions options;
    options.listen = config.admin_listen();
    options.registry = &registry;
    options.ready = [&readiness] { return readiness.Ask(); };
    options.config_yaml = config_yaml;
    ALCOVE_ASSIGN_OR_RETURN(admin, AdminServer::Start(std::move(options)));
  }

  const ServiceHost host = {registry, loops, shutdown};
  ALCOVE_ASSIGN_OR_RETURN(instance, build(host));
  if (shutdown.requested()) return absl::OkStatus();
  if (admin != nullptr) admin->AddPages(instance->AdminPages());
  ALCOVE_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                          Server::Start(ServerOptionsFrom(config, loops), instance->Services()));
  instance->OnListening(server->address());
  readiness.Serve(instance.get(), server.get());
  LogInfo("listening", {{"address", server->address()},
                        {"admin", admin == nullptr ? std::string("none") : admin->address()},
                        {"version", program.version},
                        {"cpu", GetCpuFeatures().Name()}});

  do {
    (void)readiness.Ask();
  } while (!shutdown.WaitUntil(RealClock()->Now() + kReadinessPoll));

  const DrainBudget budget(DrainTimeout(config));
  LogInfo("draining", {{"reason", shutdown.reason()}, {"limit", budget.Remaining()}});
  readiness.Stop();
  instance->BeginDrain();
  if (const absl::Status drained = server->Drain(budget.deadline()); !drained.ok()) {
    LogWarning("drain ended early", {{"error", drained}});
  }
  instance->Drain(budget);
  // The admin server answers to the end; its pages use the instance, so it goes first.
  admin = nullptr;
  LogInfo("stopped");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckServerConfig(const config::v1::ServerConfig& server) {
  const TlsFiles files = {server.tls().certificate(), server.tls().private_key(), server.tls().client_ca()};
  return files.enabled() ? Annotate(CheckServerTls(files), "server.tls") : absl::OkStatus();
}

int RunLoadedService(const ConfigProgram& program, const config::v1::LogConfig& log,
                     const config::v1::ServerConfig& server, const std::string& config_yaml,
                     const BuildService& build) {
  // A channel nobody is calling through looks at its connection only this often (5 s by default), and a peer that
  // drains waits for it. Set before gRPC or any thread starts.
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "250", 0);
  // Debian builds Abseil so that each lock looks for cycles, a help to tests (which keep it) and a cost to every call
  // here.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ShutdownSignal& shutdown = ShutdownSignal::Install();
  InitLogging(LogOptionsFrom(program, log));
  gpr_set_log_function(LogFromGrpc);
  const absl::Status status = Run(program, server, config_yaml, build, shutdown);
  if (status.ok()) return 0;
  LogError("cannot start", {{"error", status}});
  return 1;
}

}  // namespace alcove::rpc
