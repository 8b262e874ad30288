// Channels to other services.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>

#include "libs/rpc/credentials.h"

namespace alcove::rpc {

struct ChannelOptions {
  uint64_t max_message_bytes = uint64_t{72} << 20;
  // Idle connections are probed this often, and given up when a probe is not answered within 10 s.
  absl::Duration keepalive = absl::Seconds(30);
  // Retries UNAVAILABLE up to twice, with backoff and a budget of one retry in ten calls. Only for services whose
  // methods may run twice.
  bool retry = true;
  // Sends calls only to addresses whose grpc.health.v1 says SERVING (a server without that service counts as serving).
  bool health_check = true;
  // The longest pause between attempts to connect.
  absl::Duration max_reconnect_backoff = absl::Seconds(3);
  TlsFiles tls;
};

// A channel that spreads calls over every address `target` resolves to, in turn. `target` is host:port or any gRPC
// target
// ("dns:///name:port", "ipv4:10.0.0.1:7101,10.0.0.2:7101"). Connects lazily. INVALID_ARGUMENT for an empty target.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& target,
                                                           const ChannelOptions& options = {});

}  // namespace alcove::rpc
