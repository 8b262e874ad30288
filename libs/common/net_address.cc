#include "libs/common/net_address.h"

#include <cerrno>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libs/common/status.h"

namespace alcove {

std::string HostPort::ToString() const {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const auto error = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text.substr(0, 256), "\" is not a host:port address: ", why));
  };
  HostPort address;
  absl::string_view port;
  if (absl::StartsWith(text, "[")) {
    const size_t close = text.find("]:");
    if (close == absl::string_view::npos) return error("an IPv6 address is written [::1]:port");
    address.host = std::string(text.substr(1, close - 1));
    port = text.substr(close + 2);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == absl::string_view::npos) return error("the port is missing");
    address.host = std::string(text.substr(0, colon));
    port = text.substr(colon + 1);
    if (absl::StrContains(address.host, ':')) return error("an IPv6 address is written [::1]:port");
  }
  if (address.host.size() > 253) return error("the host is too long");
  for (const char c : address.host) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == '@' || c == 0x7f)
      return error("the host is malformed");
  }
  uint32_t number = 0;
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(port, &number) || number > 65535) {
    return error("the port must be a number from 0 to 65535");
  }
  address.port = static_cast<uint16_t>(number);
  return address;
}

bool IsLoopback(const HostPort& address) {
  if (address.host == "localhost" || address.host == "::1") return true;
  in_addr v4 = {};
  return inet_pton(AF_INET, address.host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

absl::StatusOr<std::pair<int, uint16_t>> ListenTcp(const HostPort& address, int backlog) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = absl::StrCat(address.port);
  const int resolved = getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), port.c_str(), &hints, &found);
  if (resolved != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot listen on ", address.ToString(), ": ", gai_strerror(resolved)));
  }
  const absl::Cleanup free_found = [&] { freeaddrinfo(found); };
  int error = EADDRNOTAVAIL;
  for (const addrinfo* option = found; option != nullptr; option = option->ai_next) {
    const int fd = socket(option->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_storage bound = {};
    socklen_t length = sizeof(bound);
    if (bind(fd, option->ai_addr, option->ai_addrlen) == 0 && listen(fd, backlog) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) == 0) {
      const uint16_t bound_port = bound.ss_family == AF_INET6
                                      ? ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port)
                                      : ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
      return std::pair<int, uint16_t>(fd, bound_port);
    }
    error = errno;
    close(fd);
  }
  return ErrnoStatus(error, absl::StrCat("cannot listen on ", address.ToString()));
}

}  // namespace alcove
