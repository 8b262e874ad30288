#include "libs/testing/redis_fixture.h"

#include <cerrno>
#include <cstring>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libs/common/status.h"

namespace alcove::testing {

absl::StatusOr<std::unique_ptr<RedisFixture>> RedisFixture::Start(std::vector<std::string> extra_args) {
  std::unique_ptr<RedisFixture> redis(new RedisFixture);
  ALCOVE_ASSIGN_OR_RETURN(redis->binary_, FindProgram({"redis-server"}, {"/usr/bin"}, "redis-server"));
  redis->extra_args_ = std::move(extra_args);
  absl::Status status;
  // Another process may take the port between the choice and the start.
  for (int attempt = 0; attempt < 5; ++attempt) {
    redis->port_ = FreePort();
    status = redis->Launch();
    if (status.ok()) return redis;
  }
  return status;
}

absl::Status RedisFixture::Launch() {
  ChildOptions options;
  options.binary = binary_;
  options.args = {"--port",
                  std::to_string(port_),
                  "--bind",
                  "127.0.0.1",
                  "--unixsocket",
                  unix_socket(),
                  "--dir",
                  folder_.path(),
                  "--save",
                  "",
                  "--appendonly",
                  "no",
                  "--daemonize",
                  "no",
                  "--databases",
                  "4",
                  "--protected-mode",
                  "yes"};
  options.args.insert(options.args.end(), extra_args_.begin(), extra_args_.end());
  ALCOVE_ASSIGN_OR_RETURN(process_, ChildProcess::Start(std::move(options)));
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (true) {
    const absl::StatusOr<std::string> reply = Command("PING");
    if (reply.ok() && absl::StartsWith(*reply, "+PONG")) return absl::OkStatus();
    if (!process_->Running() || absl::Now() > give_up) {
      return absl::UnavailableError(absl::StrCat("redis-server does not answer:\n", process_->Output()));
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

absl::Status RedisFixture::Restart() {
  process_->Kill();
  unlink(unix_socket().c_str());
  return Launch();
}

absl::StatusOr<std::string> RedisFixture::Command(const std::string& inline_command) const {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "socket");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  const timeval timeout = {5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = unix_socket();
  if (path.size() >= sizeof(address.sun_path)) return absl::InternalError("the socket's path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return ErrnoStatus(errno, path);
  const std::string line = inline_command + "\r\n";
  if (send(fd, line.data(), line.size(), MSG_NOSIGNAL) < 0) return ErrnoStatus(errno, path);
  char buffer[65536];
  const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
  if (got <= 0) return absl::UnavailableError("redis-server closed the connection");
  return std::string(buffer, static_cast<size_t>(got));
}

}  // namespace alcove::testing
