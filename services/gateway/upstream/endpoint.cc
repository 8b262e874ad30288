#include "services/gateway/upstream/endpoint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/net_address.h"
#include "libs/net/dial.h"
#include "libs/net/views.h"
#include "services/gateway/upstream/health_probe.h"

namespace alcove::gateway {

Endpoint::Endpoint(UpstreamPool& pool, std::string address)
    : pool_(pool),
      loop_(pool.loop()),
      address_(std::move(address)),
      host_(ParseHostPort(address_).value_or(HostPort()).host),
      health_(pool.options().health),
      breaker_(pool.options().breaker),
      limit_(pool.options().max_in_flight_per_endpoint) {}

Endpoint::~Endpoint() { Stop(); }

void Endpoint::Start() {
  started_ = true;
  EnsureClient();
  if (pool_.options().active_health) {
    probe_ = std::make_unique<HealthProbe>(*this);
    loop_.timers().Arm(check_timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(pool_.options().health.interval));
  }
}

void Endpoint::Stop() {
  started_ = false;
  probe_.reset();
  loop_.timers().Cancel(reconnect_timer_);
  loop_.timers().Cancel(check_timer_);
  const absl::Status why = absl::CancelledError("the upstream is stopping");
  if (client_ != nullptr) {
    draining_.push_back(connection_);
    client_ = nullptr;
    connection_.reset();
  }
  for (const std::weak_ptr<net::Connection>& weak : std::exchange(draining_, {})) {
    if (const std::shared_ptr<net::Connection> connection = weak.lock()) {
      auto& client = static_cast<net::Http2Client&>(connection->protocol());
      client.DetachOwner();
      client.Abandon(why);
      connection->Close(why);
    }
  }
}

void Endpoint::Retire() {
  retired_ = true;
  started_ = false;
  probe_.reset();
  loop_.timers().Cancel(reconnect_timer_);
  loop_.timers().Cancel(check_timer_);
  if (client_ != nullptr) {
    client_->BeginDrain();
    draining_.push_back(connection_);
    client_ = nullptr;
    connection_.reset();
  }
}

void Endpoint::EnsureClient() {
  if (client_ != nullptr) return;
  auto client =
      std::make_unique<net::Http2Client>(loop_, this,
                                         net::Http2ClientOptions{.stream_window = pool_.options().stream_window,
                                                                 .connection_window = pool_.options().connection_window,
                                                                 .keepalive = pool_.options().keepalive});
  client_ = client.get();
  const std::shared_ptr<asio::ssl::context>& tls = pool_.options().tls;
  connection_ = net::Dial(loop_, address_, std::move(client), pool_.options().connect_timeout, connect_failures_,
                          tls == nullptr ? nullptr : std::make_unique<net::TlsFilter>(tls, host_));
}

net::ClientStream* Endpoint::NewStream(net::ClientStreamHandler* handler) {
  EnsureClient();
  return client_->NewStream(handler);
}

void Endpoint::OnClientConnected(net::Http2Client* client) {
  if (client != client_) return;
  const bool was_down = std::exchange(connect_failures_, 0) > 0;
  reached_by_sibling_ = false;
  last_error_.clear();
  if (was_down) pool_.TellSiblings(address_, false);
  // The first check tells sooner than the interval would whether what answers is healthy.
  if (probe_ != nullptr) loop_.timers().Arm(check_timer_, 0);
}

void Endpoint::OnClientDraining(net::Http2Client* client) {
  if (client != client_) return;
  std::erase_if(draining_, [](const std::weak_ptr<net::Connection>& weak) { return weak.expired(); });
  draining_.push_back(connection_);
  client_ = nullptr;
  connection_.reset();
}

void Endpoint::OnClientGone(net::Http2Client* client, const absl::Status& why) {
  if (client != client_) return;
  client_ = nullptr;
  connection_.reset();
  last_error_ = std::string(net::StdView(why.message()));
  if (!started_) return;
  if (std::exchange(reached_by_sibling_, false)) {  // the attempt was begun before the backend was there
    retry_at_ns_ = net::Loop::NowNs();
    loop_.timers().Arm(reconnect_timer_, retry_at_ns_);
    return;
  }
  const UpstreamOptions& options = pool_.options();
  const absl::Duration pause = net::RedialPause(loop_, ++connect_failures_, options.backoff_base, options.backoff_max);
  retry_at_ns_ = net::Loop::NowNs() + absl::ToInt64Nanoseconds(pause);
  loop_.timers().Arm(reconnect_timer_, retry_at_ns_);
}

void Endpoint::OnReachable(bool passed) {
  if (!started_) return;
  if (passed) health_.OnCheck(true, net::Loop::NowNs());
  if (connected()) return;
  connect_failures_ = 0;
  retry_at_ns_ = 0;
  if (client_ != nullptr) {
    reached_by_sibling_ = true;
  } else {
    EnsureClient();
  }
}

void Endpoint::OnReconnectTimer() {
  if (started_) EnsureClient();
}

void Endpoint::OnCheckTimer() {
  if (!started_ || probe_ == nullptr) return;
  const absl::Duration interval = pool_.options().health.interval;
  loop_.timers().Arm(check_timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(interval));
  if (probe_->running()) return;
  if (client_ == nullptr && net::Loop::NowNs() < retry_at_ns_) {
    OnCheckDone(false, last_error_);
  } else {
    probe_->Begin();
  }
}

void Endpoint::OnCheckDone(bool passed, std::string_view why) {
  const bool was_healthy = health_.active_healthy();
  health_.OnCheck(passed, net::Loop::NowNs());
  if (!passed) last_error_ = std::string(why);
  if (passed && !was_healthy) pool_.TellSiblings(address_, true);
}

bool Endpoint::Available(int64_t now_ns) const {
  if (retired_ || !health_.Healthy(now_ns) || !breaker_.CanAcquire(now_ns) || !limit_.HasRoom()) return false;
  if (client_ == nullptr) return now_ns >= retry_at_ns_;
  // Calls may wait for a first connection, but not for one that keeps failing.
  return client_->connected() || connect_failures_ == 0;
}

bool Endpoint::Acquire(int64_t now_ns) {
  if (!breaker_.Acquire(now_ns)) return false;
  limit_.TryAcquire();
  ++requests_;
  return true;
}

void Endpoint::OnCallDone(CallResult result, int64_t latency_ns) {
  limit_.Release();
  const int64_t now = loop_.now_ns();
  switch (result) {
    case CallResult::kSuccess:
      breaker_.OnSuccess(now);
      health_.OnRequest(true, now);
      latency_.Record(latency_ns, now);
      return;
    case CallResult::kFailure:
      ++failures_;
      breaker_.OnFailure(now);
      health_.OnRequest(false, now);
      return;
    case CallResult::kAbandoned: breaker_.OnAbandoned(now); return;
  }
}

EndpointView Endpoint::View(int64_t now_ns) const {
  return {.in_flight = limit_.in_flight(), .latency_ewma_ns = latency_.value_ns(), .available = Available(now_ns)};
}

EndpointStatus Endpoint::Status(int64_t now_ns) const {
  return {.address = address_,
          .connected = connected(),
          .healthy = health_.Healthy(now_ns),
          .breaker = breaker_.state(now_ns),
          .in_flight = limit_.in_flight(),
          .requests = requests_,
          .failures = failures_,
          .latency_ewma_ms = latency_.value_ns() / 1e6,
          .last_error = last_error_};
}

std::string Endpoint::Reason(int64_t now_ns) const {
  if (!limit_.HasRoom()) return absl::StrCat(address_, ": ", limit_.in_flight(), " requests in flight");
  if (!last_error_.empty()) return absl::StrCat(address_, ": ", last_error_);
  if (!breaker_.CanAcquire(now_ns)) return absl::StrCat(address_, ": circuit open after repeated failures");
  if (!health_.Healthy(now_ns)) return absl::StrCat(address_, ": set aside after failed requests");
  return absl::StrCat(address_, ": not connected");
}

}  // namespace alcove::gateway
