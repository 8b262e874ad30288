#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/http2_client.h"
#include "libs/net/loop.h"
#include "services/gateway/policy/balancer.h"
#include "services/gateway/policy/circuit_breaker.h"
#include "services/gateway/policy/concurrency_limit.h"
#include "services/gateway/policy/endpoint_health.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

class HealthProbe;

// How a call on an endpoint ended, as far as the endpoint is concerned.
enum class CallResult : uint8_t {
  kSuccess,    // it answered, whatever the answer
  kFailure,    // it did not, or answered UNAVAILABLE
  kAbandoned,  // the caller gave up; nothing is known
};

// One address of an upstream: its connection (made when needed, remade with backoff), and what is known of it.
// Thread safety: the loop's own thread.
class Endpoint final : public net::Http2Client::Owner {
 public:
  Endpoint(UpstreamPool& pool, std::string address);
  ~Endpoint() override;

  const std::string& address() const { return address_; }
  UpstreamPool& pool() const { return pool_; }

  // A stream on the current connection, or on one that is being made. Only after UpstreamPool::Pick chose this
  // endpoint.
  net::ClientStream* NewStream(net::ClientStreamHandler* handler);
  // Each Pick is followed by exactly one of these.
  void OnCallDone(CallResult result, int64_t latency_ns);

  void Start();
  void Stop();
  // Another loop reached this address: connects without sitting out a pause. `passed`: and passed a health check there.
  void OnReachable(bool passed);
  // No new calls; the connection closes when its streams have finished.
  void Retire();

  bool Available(int64_t now_ns) const;
  bool Acquire(int64_t now_ns);
  EndpointView View(int64_t now_ns) const;
  EndpointStatus Status(int64_t now_ns) const;
  // Why it is not available now, for error messages.
  std::string Reason(int64_t now_ns) const;
  bool AtLimit() const { return !limit_.HasRoom(); }
  bool connected() const { return client_ != nullptr && client_->connected(); }
  uint32_t in_flight() const { return limit_.in_flight(); }

 private:
  friend class HealthProbe;
  void OnClientConnected(net::Http2Client* client) override;
  void OnClientDraining(net::Http2Client* client) override;
  void OnClientGone(net::Http2Client* client, const absl::Status& why) override;

  void EnsureClient();
  void OnReconnectTimer();
  void OnCheckTimer();
  void OnCheckDone(bool passed, std::string_view why);

  UpstreamPool& pool_;
  net::Loop& loop_;
  const std::string address_;
  const std::string host_;  // of it; empty when it is no address
  std::shared_ptr<net::Connection> connection_;
  net::Http2Client* client_ = nullptr;  // the protocol of connection_
  std::vector<std::weak_ptr<net::Connection>> draining_;

  EndpointHealth health_;
  CircuitBreaker breaker_;
  ConcurrencyLimit limit_;
  PeakEwma latency_;
  std::unique_ptr<HealthProbe> probe_;
  uint64_t requests_ = 0;
  uint64_t failures_ = 0;
  uint32_t connect_failures_ = 0;
  int64_t retry_at_ns_ = 0;          // no connection attempt before this
  bool reached_by_sibling_ = false;  // while this loop's own attempt was still under way
  std::string last_error_;
  bool started_ = false;
  bool retired_ = false;
  net::MemberTimer<Endpoint, &Endpoint::OnReconnectTimer> reconnect_timer_{this};
  net::MemberTimer<Endpoint, &Endpoint::OnCheckTimer> check_timer_{this};
};

}  // namespace alcove::gateway
