#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/net/loop.h"
#include "libs/net/tls.h"
#include "services/gateway/policy/balancer.h"
#include "services/gateway/policy/circuit_breaker.h"
#include "services/gateway/policy/endpoint_health.h"
#include "services/gateway/policy/retry.h"

namespace alcove::gateway {

class SiblingLoops;
class UpstreamSet;
class Endpoint;

// One backend service as a loop sees it.
struct UpstreamOptions {
  std::string name;                    // "inference"
  std::vector<std::string> endpoints;  // "host:port", "1.2.3.4:7101", "[::1]:7101"; names are resolved at connect
  BalancerKind balancer = BalancerKind::kRoundRobin;
  uint32_t max_in_flight_per_endpoint = 4096;  // per loop; beyond it the endpoint is not available
  size_t max_message_bytes = 64u << 20;        // of one response message
  absl::Duration connect_timeout = absl::Seconds(2);
  absl::Duration keepalive = absl::Seconds(20);  // PING on an idle connection; no answer within it closes
  absl::Duration backoff_base = absl::Milliseconds(50);
  absl::Duration backoff_max = absl::Seconds(2);
  uint32_t stream_window = 1u << 20;
  uint32_t connection_window = 16u << 20;
  std::shared_ptr<asio::ssl::context> tls;  // of a client (net::MakeClientTls); null: cleartext
  bool active_health = true;  // grpc.health.v1 Check every health.interval; UNIMPLEMENTED counts as passed
  HealthOptions health;
  CircuitBreakerOptions breaker;
  RetryPolicy retry;
};

// State of one endpoint, for consoles and readiness.
struct EndpointStatus {
  std::string address;
  bool connected = false;
  bool healthy = true;
  CircuitBreaker::State breaker = CircuitBreaker::State::kClosed;
  uint32_t in_flight = 0;
  uint64_t requests = 0;
  uint64_t failures = 0;
  double latency_ewma_ms = 0;
  std::string last_error;
};

// The endpoints of one service: connections, health, breakers and the choice among them. One per loop and service.
// Thread safety: the loop's own thread.
class UpstreamPool {
 public:
  UpstreamPool(net::Loop& loop, UpstreamOptions options);
  ~UpstreamPool();
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;

  const UpstreamOptions& options() const { return options_; }
  net::Loop& loop() const { return loop_; }

  // Begins connecting and health checking.
  void Start();
  // Ends checks and connections; streams in flight are reset.
  void Stop();

  // Chooses an endpoint for one call and takes its breaker and concurrency permissions; the call gives them back
  // through Endpoint::OnCallDone. `exclude`: endpoint of a failed attempt, avoided when there is another.
  // UNAVAILABLE when no endpoint is healthy (with the reason of each), RESOURCE_EXHAUSTED when all are at their limit.
  absl::StatusOr<Endpoint*> Pick(const Endpoint* exclude = nullptr, std::string_view affinity_key = {});

  std::vector<EndpointStatus> Status() const;
  // At least one endpoint is healthy, connected, and lets requests through.
  bool Ready() const;
  RetryBudget& retry_budget() { return retry_budget_; }
  // Replaces the endpoint list: endpoints that stay keep connections and state, those that go finish their streams.
  void SetEndpoints(const std::vector<std::string>& endpoints);
  // Another loop reached `address`: no pause before this one tries. `passed`: it also passed a health check there.
  void OnReachable(const std::string& address, bool passed);

 private:
  friend class Endpoint;
  friend class UpstreamSet;
  void TellSiblings(const std::string& address, bool passed) const;

  UpstreamSet* set_ = nullptr;
  net::Loop& loop_;
  UpstreamOptions options_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::vector<std::unique_ptr<Endpoint>> retired_;
  std::vector<EndpointView> views_;  // reused by Pick
  std::unique_ptr<Balancer> balancer_;
  RetryBudget retry_budget_;
  bool started_ = false;
  bool stopped_ = false;
};

// The upstreams of one loop, by name.
class UpstreamSet {
 public:
  // `siblings` carries news from and to the sets of other loops; may be null.
  explicit UpstreamSet(net::Loop& loop, SiblingLoops* siblings = nullptr);
  ~UpstreamSet();
  UpstreamSet(const UpstreamSet&) = delete;
  UpstreamSet& operator=(const UpstreamSet&) = delete;
  UpstreamPool& Add(UpstreamOptions options);
  UpstreamPool* Find(std::string_view name) const;
  const std::vector<std::unique_ptr<UpstreamPool>>& pools() const { return pools_; }
  net::Loop& loop() const { return loop_; }
  void Start();
  void Stop();
  void OnReachable(const std::string& upstream, const std::string& address, bool passed);

 private:
  friend class UpstreamPool;
  net::Loop& loop_;
  SiblingLoops* const siblings_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<std::unique_ptr<UpstreamPool>> pools_;
};

}  // namespace alcove::gateway
