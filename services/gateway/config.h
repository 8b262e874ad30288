#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "alcove/config/v1/gateway.pb.h"
#include "libs/net/server.h"
#include "services/gateway/access/bootstrap.h"
#include "services/gateway/access/key_directory.h"
#include "services/gateway/service/shared_state.h"

namespace alcove::gateway {

// The configuration message turned into the options of each room.
struct GatewayOptions {
  net::ServerOptions server;
  AppOptions app;
  KeyDirectoryOptions keys;
  BootstrapOptions bootstrap;
  absl::Duration key_refresh;
  absl::Duration drain_timeout;
};

// INVALID_ARGUMENT for what the schema alone cannot tell: auth.mode none on an address others can reach, half a TLS
// pair, an address that is none, an admin key that is too short.
absl::StatusOr<GatewayOptions> ReadOptions(const alcove::config::v1::GatewayConfig& config, std::string_view version);

}  // namespace alcove::gateway
