#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "libs/net/connection.h"
#include "libs/net/exchange.h"
#include "libs/net/server.h"

namespace alcove::net {

// What the sessions of one loop share.
struct ServerState {
  ServerState(Loop& loop, const ServerOptions& options) : loop(loop), options(options) {}

  Loop& loop;
  const ServerOptions& options;
  Handler* handler = nullptr;
  bool draining = false;

  LoopCounter connections_accepted;
  LoopCounter connections_open;
  LoopCounter connections_refused;
  LoopCounter requests_http1;
  LoopCounter requests_http2;
  LoopCounter protocol_errors;
  LoopCounter tls_failures;
  LoopCounter in_flight;
  ConnectionCounters bytes;

  // The `date` header's value, remade once a second.
  std::string_view Date();

 private:
  int64_t date_second_ = -1;
  std::string date_;
};

// A session that can be asked to end gracefully.
class Drainable {
 public:
  virtual ~Drainable() = default;
  // No new requests: GOAWAY, or `connection: close` on the response in progress.
  virtual void BeginDrain() = 0;
};

}  // namespace alcove::net
