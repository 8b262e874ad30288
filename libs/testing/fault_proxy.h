// A TCP proxy between a client and a server that does what networks do on bad days.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

namespace alcove::testing {

// What happens to bytes and connections from now on.
enum class Fault {
  kNone,         // bytes pass
  kDelay,        // each piece waits for `delay` first
  kDrop,         // bytes are read and thrown away; connections stay open
  kHalfOpen,     // nothing is read any more; connections stay open (a peer that lost its machine)
  kReset,        // every connection, old and new, is reset (RST)
  kResetMidway,  // the next piece is cut in half, then the connection is reset
  kOneByte,      // bytes pass one per write
};

// Thread safe. Listens on a free port of 127.0.0.1 and forwards each connection to the upstream address.
class TcpFaultProxy {
 public:
  static absl::StatusOr<std::unique_ptr<TcpFaultProxy>> Start(const std::string& upstream_host, uint16_t upstream_port);
  ~TcpFaultProxy();

  uint16_t port() const;
  void SetFault(Fault fault, absl::Duration delay = absl::ZeroDuration());
  // Connections open now, and bytes forwarded since the start in both directions.
  int connections() const;
  uint64_t bytes() const;

 private:
  struct Impl;
  explicit TcpFaultProxy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace alcove::testing
