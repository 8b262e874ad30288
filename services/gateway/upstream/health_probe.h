#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/net/timer_wheel.h"
#include "services/gateway/upstream/endpoint.h"
#include "services/gateway/upstream/upstream_stream.h"

namespace alcove::gateway {

// One grpc.health.v1.Health/Check of an endpoint, for the server as a whole. Passed: SERVING, or UNIMPLEMENTED (the
// backend has no health service, but it answers).
class HealthProbe final : public UpstreamHandler {
 public:
  explicit HealthProbe(Endpoint& endpoint) : endpoint_(endpoint) {}
  ~HealthProbe() override;

  void Begin();
  bool running() const { return stream_ != nullptr; }

 private:
  void OnUpstreamHeaders(int http_status, net::HeaderList& headers, bool end) override;
  void OnUpstreamData(std::string_view bytes) override;
  void OnUpstreamTrailers(net::HeaderList& trailers) override;
  void OnUpstreamDrained() override {}
  void OnUpstreamClose(const Close& close) override;
  void OnTimer();
  void ReadStatus(int http_status, const net::HeaderList& list);

  Endpoint& endpoint_;
  UpstreamStream* stream_ = nullptr;
  std::string reply_;
  bool passed_ = false;
  std::string why_;
  net::MemberTimer<HealthProbe, &HealthProbe::OnTimer> timer_{this};
};

}  // namespace alcove::gateway
