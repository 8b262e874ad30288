#pragma once

#include <memory>
#include <string>

#include "libs/net/exchange.h"
#include "services/gateway/access/authenticator.h"
#include "services/gateway/service/dispatcher.h"
#include "services/gateway/service/shared_state.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// Answers gRPC exchanges that do not go straight to a process: the gateway's own methods, writes that touch the cache,
// health, reflection, calls whose key is not in memory yet, and everything to be refused. One per loop.
class GrpcDoor {
 public:
  GrpcDoor(SharedState& shared, Authenticator& authenticator, Dispatcher& dispatcher, UpstreamSet& upstreams)
      : shared_(shared), authenticator_(authenticator), dispatcher_(dispatcher), upstreams_(upstreams) {}

  asio::awaitable<void> Serve(std::shared_ptr<net::Exchange> exchange);

 private:
  asio::awaitable<absl::Status> Answer(net::Exchange& exchange);
  // One request message in, one reply message out.
  asio::awaitable<absl::Status> ServeUnary(net::Exchange& exchange);
  asio::awaitable<absl::Status> ServeReflection(net::Exchange& exchange);
  asio::awaitable<absl::Status> ServeHealth(net::Exchange& exchange, bool watch);
  asio::awaitable<absl::StatusOr<std::string>> ReadMessage(net::Exchange& exchange);
  // Whether a service named in a health request takes calls: 1 serving, 2 not serving, 3 unknown service (the numbers
  // of grpc.health.v1.HealthCheckResponse.ServingStatus).
  int HealthOf(const std::string& service) const;

  SharedState& shared_;
  Authenticator& authenticator_;
  Dispatcher& dispatcher_;
  UpstreamSet& upstreams_;
};

}  // namespace alcove::gateway
