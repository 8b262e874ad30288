// The gRPC server of a backend process: libs/net's HTTP/2 (nghttp2) under the methods of its services, with
// grpc.health.v1 (Check and Watch, for each service and for ""), reflection v1 and v1alpha, message and stream limits,
// no compression. grpc++ is a client here only: its server costs a search several wake-ups of idle threads a call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "libs/net/server.h"
#include "libs/rpc/credentials.h"
#include "libs/rpc/health.h"
#include "libs/rpc/service.h"

namespace alcove::rpc {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // host:port; port 0 takes a free one
  uint64_t max_message_bytes = uint64_t{72} << 20;
  int max_concurrent_streams = 1000;  // of one connection
  // Loops to read, parse and write on; they outlive the server. Null: its own, DefaultLoopCount() of them.
  net::LoopThreads* loops = nullptr;
  TlsFiles tls;
};

// One for each four processors, at most 4: loops read and write, the work is done elsewhere.
int DefaultLoopCount();

class Server {
 public:
  // Listens and serves; health says NOT_SERVING until SetServing(true). The services must outlive the server.
  // UNAVAILABLE, naming the address, when the port is taken.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, std::vector<Service*> services);
  // Cancels what is in flight, waits for it to end, and stops.
  ~Server();

  uint16_t port() const { return port_; }
  std::string address() const { return address_; }  // host:port, with the real port
  // Connections, requests and bytes so far.
  net::NetStats stats() const { return net_->stats(); }
  // What grpc.health.v1 answers for every service.
  void SetServing(bool serving);
  // Health says NOT_SERVING, new calls are refused, calls in flight may end until the deadline and are then cancelled.
  // Returns when all have ended. DEADLINE_EXCEEDED when some had to be cancelled. Later calls have no effect.
  absl::Status Drain(absl::Time deadline);

 private:
  class CallHandler;
  Server() = default;
  std::unique_ptr<HealthService> health_;
  std::vector<std::unique_ptr<Service>> reflection_;
  absl::flat_hash_map<std::string, Service::Opener> methods_;
  uint64_t max_message_bytes_ = 0;
  std::shared_ptr<CallCount> calls_ = std::make_shared<CallCount>();
  std::unique_ptr<net::Server> net_;
  std::string address_;
  uint16_t port_ = 0;
  bool drained_ = false;
};

}  // namespace alcove::rpc
