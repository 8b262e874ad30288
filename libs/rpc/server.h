// A gRPC server with the suite's settings: grpc.health.v1 (Check and Watch, for each service and for ""), reflection v1
// and v1alpha, keepalive, message and stream limits, no compression.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/server.h>

#include "libs/rpc/credentials.h"
#include "libs/rpc/health.h"

namespace alcove::rpc {

// A service and its full name: {&face, cache::v1::CacheService::service_full_name()}.
struct ServiceEntry {
  grpc::Service* service = nullptr;
  std::string name;
};

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // host:port; port 0 takes a free one
  uint64_t max_message_bytes = uint64_t{72} << 20;
  int max_concurrent_streams = 1000;  // of one connection
  TlsFiles tls;
};

class Server {
 public:
  // Listens and serves; health says NOT_SERVING until SetServing(true). The services must outlive the server.
  // UNAVAILABLE, naming the address, when the port is taken.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       std::vector<ServiceEntry> services);
  // Cancels what is in flight and stops.
  ~Server();

  uint16_t port() const { return port_; }
  std::string address() const { return address_; }  // host:port, with the real port
  // What grpc.health.v1 answers for every service.
  void SetServing(bool serving);
  // Health says NOT_SERVING, new calls are refused, calls in flight may end until the deadline and are then cancelled.
  // Returns when all have ended. DEADLINE_EXCEEDED when some had to be cancelled. Later calls have no effect.
  absl::Status Drain(absl::Time deadline);
  // A channel to this server inside the process, for tests.
  grpc::Server& grpc_server() { return *server_; }

 private:
  Server() = default;
  std::unique_ptr<HealthService> health_;
  std::vector<std::unique_ptr<grpc::Service>> reflection_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  uint16_t port_ = 0;
  bool drained_ = false;
};

}  // namespace alcove::rpc
