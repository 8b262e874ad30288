// "host:port" texts and listening sockets.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove {

struct HostPort {
  std::string host;  // without brackets; empty means every interface
  uint16_t port = 0;
  // "127.0.0.1:80", "[::1]:80"
  std::string ToString() const;
};

// Reads "127.0.0.1:7101", "[::1]:7101", "localhost:0", ":8080". INVALID_ARGUMENT otherwise.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// Whether only this machine can reach an address: 127.0.0.0/8, ::1 or "localhost".
bool IsLoopback(const HostPort& address);

// A non-blocking listening TCP socket with SO_REUSEADDR, closed on exec, and the port it got (for port 0). UNAVAILABLE,
// naming the address, when the port is taken; PERMISSION_DENIED for a privileged port; INVALID_ARGUMENT for a host that
// is not known. The caller closes it.
absl::StatusOr<std::pair<int, uint16_t>> ListenTcp(const HostPort& address, int backlog = 512);

}  // namespace alcove
