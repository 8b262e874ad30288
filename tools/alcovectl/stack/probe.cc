#include "tools/alcovectl/stack/probe.h"

#include <algorithm>
#include <cerrno>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"

namespace alcove::ctl {
namespace {

constexpr size_t kMaxReply = 1 << 20;

bool WaitFor(int fd, short events, absl::Time deadline) {
  pollfd entry{fd, events, 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return poll(&entry, 1, static_cast<int>(std::max<int64_t>(left, 0))) == 1;
}

// Sends `request` and reads until the peer closes, `enough` is seen, the limit or the deadline.
absl::StatusOr<std::string> Exchange(const std::string& address, absl::string_view request, absl::string_view enough,
                                     absl::Duration timeout) {
  ALCOVE_ASSIGN_OR_RETURN(HostPort target, ParseHostPort(address));
  if (target.host.empty() || target.host == "0.0.0.0" || target.host == "localhost") target.host = "127.0.0.1";
  const absl::Time deadline = absl::Now() + timeout;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(target.port);
  if (inet_pton(AF_INET, target.host.c_str(), &to.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(address, " is no IPv4 address"));
  }
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "socket");
  const absl::Cleanup closer = [fd] { close(fd); };
  const absl::Status unavailable = absl::UnavailableError(absl::StrCat(address, " does not answer"));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (errno != EINPROGRESS || !WaitFor(fd, POLLOUT, deadline) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
      return unavailable;
    }
  }
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return unavailable;
  std::string reply;
  char buffer[16384];
  while (reply.size() < kMaxReply) {
    if (!enough.empty() && absl::StrContains(reply, enough)) return reply;
    if (!WaitFor(fd, POLLIN, deadline)) return unavailable;
    const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    if (n < 0) return unavailable;
    if (n == 0) break;
    reply.append(buffer, n);
  }
  return reply;
}

absl::StatusOr<std::string> Get(const std::string& address, absl::string_view path, absl::Duration timeout) {
  return Exchange(address, absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", address, "\r\nConnection: close\r\n\r\n"),
                  "", timeout);
}

}  // namespace

bool IsReady(const std::string& address, Probe probe, absl::Duration timeout) {
  if (probe == Probe::kRedis) {
    const auto reply = Exchange(address, "PING\r\n", "\r\n", timeout);
    return reply.ok() && absl::StartsWith(*reply, "+PONG");
  }
  const auto reply = Get(address, "/health/ready", timeout);
  return reply.ok() && absl::StartsWith(*reply, "HTTP/1.1 200");
}

absl::StatusOr<std::string> HttpGet(const std::string& address, absl::string_view path, absl::Duration timeout) {
  ALCOVE_ASSIGN_OR_RETURN(std::string reply, Get(address, path, timeout));
  const size_t body = reply.find("\r\n\r\n");
  if (!absl::StartsWith(reply, "HTTP/1.1 200") || body == std::string::npos) {
    return absl::UnavailableError(absl::StrCat(address, path, " answered ", reply.substr(0, reply.find("\r\n"))));
  }
  return reply.substr(body + 4);
}

}  // namespace alcove::ctl
