#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/net/client_stream.h"
#include "libs/net/timer_wheel.h"
#include "services/gateway/upstream/endpoint.h"

namespace alcove::gateway {

// One grpc.health.v1.Health/Check of an endpoint, for the server as a whole. Passed: SERVING, or UNIMPLEMENTED (the
// backend has no health service, but it answers).
class HealthProbe final : public net::ClientStreamHandler {
 public:
  explicit HealthProbe(Endpoint& endpoint) : endpoint_(endpoint) {}
  ~HealthProbe() override;

  void Begin();
  bool running() const { return stream_ != nullptr; }

 private:
  void OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) override;
  void OnResponseData(std::string_view bytes) override;
  void OnResponseTrailers(net::HeaderList& trailers) override;
  void OnRequestDrained() override {}
  void OnResponseClose(const Close& close) override;
  void OnTimer();
  void ReadStatus(int http_status, const net::HeaderList& list);

  Endpoint& endpoint_;
  net::ClientStream* stream_ = nullptr;
  std::string reply_;
  bool passed_ = false;
  std::string why_;
  net::MemberTimer<HealthProbe, &HealthProbe::OnTimer> timer_{this};
};

}  // namespace alcove::gateway
