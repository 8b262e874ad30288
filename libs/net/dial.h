#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "libs/net/connection.h"
#include "libs/net/loop.h"
#include "libs/net/tls.h"

namespace alcove::net {

// Begins to connect to `address`, host:port with an IPv6 address in brackets; a name is resolved first, and the
// `attempt`th of its addresses is taken, modulo how many there are. `protocol` hears of success as OnStart and of
// failure as OnClosed, in a later handler, with UNAVAILABLE or INVALID_ARGUMENT. `timeout` is for connecting, not for
// resolving. On the loop's own thread.
std::shared_ptr<Connection> Dial(Loop& loop, const std::string& address, std::unique_ptr<Protocol> protocol,
                                 absl::Duration timeout, uint32_t attempt, std::unique_ptr<TlsFilter> tls = nullptr);

// How long to wait before connecting again after `failures` attempts in a row have failed, at least one: `first`,
// doubled with each, at most `longest`; of that a random part between half and all, which spreads the processes of a
// cluster.
absl::Duration RedialPause(Loop& loop, uint32_t failures, absl::Duration first, absl::Duration longest);

}  // namespace alcove::net
