#include "libs/testing/fault_proxy.h"

#include <atomic>
#include <cerrno>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"

namespace alcove::testing {
namespace {

// Bytes read from one side that the other has not taken yet.
struct Piece {
  std::string bytes;
  absl::Time due;
};

struct Direction {
  int from = -1;
  int to = -1;
  std::deque<Piece> waiting;
  bool finished = false;  // `from` has sent its last byte
  bool shut = false;      // and `to` has been told
};

struct Pair {
  Direction up;    // client to server
  Direction down;  // server to client
  bool dead = false;
};

void Reset(int fd) {
  const linger hard = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close(fd);
}

}  // namespace

struct TcpFaultProxy::Impl {
  std::string upstream_host;
  uint16_t upstream_port = 0;
  uint16_t port = 0;
  int listener = -1;
  int wake_fd = -1;
  std::atomic<bool> stopping{false};
  std::atomic<Fault> fault{Fault::kNone};
  std::atomic<int64_t> delay_ns{0};
  std::atomic<int> open_connections{0};
  std::atomic<uint64_t> forwarded{0};
  std::vector<std::unique_ptr<Pair>> pairs;  // used by the thread only
  std::thread thread;

  ~Impl() {
    stopping = true;
    Wake();
    if (thread.joinable()) thread.join();
    for (const auto& pair : pairs) ClosePair(*pair, false);
    if (listener >= 0) close(listener);
    if (wake_fd >= 0) close(wake_fd);
  }

  void Wake() const {
    const uint64_t one = 1;
    if (wake_fd >= 0) (void)!write(wake_fd, &one, sizeof(one));
  }

  static void ClosePair(Pair& pair, bool reset) {
    if (pair.dead) return;
    pair.dead = true;
    for (const int fd : {pair.up.from, pair.up.to}) reset ? Reset(fd) : static_cast<void>(close(fd));
  }

  void Accept() {
    const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    if (fault == Fault::kReset) return Reset(client);
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(upstream_port);
    inet_pton(AF_INET, upstream_host.c_str(), &address.sin_addr);
    // Upstreams are on this machine, so a blocking connect answers at once.
    if (server < 0 || connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      if (server >= 0) close(server);
      return Reset(client);
    }
    const int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    auto pair = std::make_unique<Pair>();
    pair->up.from = pair->down.to = client;
    pair->up.to = pair->down.from = server;
    pairs.push_back(std::move(pair));
  }

  // False when the connection broke.
  bool Read(Direction& direction) {
    char buffer[16384];
    const ssize_t got = recv(direction.from, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
      direction.finished = true;
      return true;
    }
    if (fault == Fault::kDrop) return true;
    size_t keep = static_cast<size_t>(got);
    if (fault == Fault::kResetMidway) keep /= 2;
    const absl::Duration wait = fault == Fault::kDelay ? absl::Nanoseconds(delay_ns.load()) : absl::ZeroDuration();
    direction.waiting.push_back({std::string(buffer, keep), absl::Now() + wait});
    return true;
  }

  bool Write(Direction& direction) {
    while (!direction.waiting.empty() && direction.waiting.front().due <= absl::Now()) {
      std::string& bytes = direction.waiting.front().bytes;
      const size_t size = fault == Fault::kOneByte ? std::min<size_t>(1, bytes.size()) : bytes.size();
      const ssize_t sent = send(direction.to, bytes.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      forwarded += static_cast<uint64_t>(sent);
      bytes.erase(0, static_cast<size_t>(sent));
      if (bytes.empty()) direction.waiting.pop_front();
    }
    if (direction.finished && direction.waiting.empty() && !direction.shut) {
      shutdown(direction.to, SHUT_WR);
      direction.shut = true;
    }
    return true;
  }

  void Serve(Pair& pair, bool up_readable, bool down_readable) {
    const bool midway = fault == Fault::kResetMidway && (up_readable || down_readable);
    bool alive = (!up_readable || Read(pair.up)) && (!down_readable || Read(pair.down));
    alive = alive && Write(pair.up) && Write(pair.down);
    const bool finished = pair.up.shut && pair.down.shut;
    if (!alive || midway || finished) ClosePair(pair, !finished);
  }

  void Run() {
    while (!stopping) {
      const bool frozen = fault == Fault::kHalfOpen;
      std::vector<pollfd> polled = {{wake_fd, POLLIN, 0}, {listener, POLLIN, 0}};
      int timeout_ms = -1;
      for (const auto& pair : pairs) {
        for (const Direction* direction : {&pair->up, &pair->down}) {
          const bool reads = !frozen && !direction->finished && direction->waiting.size() < 64;
          polled.push_back({reads ? direction->from : -1, POLLIN, 0});
          // A millisecond at a time is exact enough for delays, and for a peer that is slow to take its bytes.
          if (!frozen && !direction->waiting.empty()) timeout_ms = 1;
        }
      }
      if (poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) return;
      uint64_t ignored = 0;
      if (polled[0].revents != 0) (void)!read(wake_fd, &ignored, sizeof(ignored));
      for (size_t i = 0; i < pairs.size(); ++i) {
        if (fault == Fault::kReset) {
          ClosePair(*pairs[i], true);
        } else if (fault != Fault::kHalfOpen) {
          Serve(*pairs[i], polled[2 + 2 * i].revents != 0, polled[3 + 2 * i].revents != 0);
        }
      }
      std::erase_if(pairs, [](const auto& pair) { return pair->dead; });
      if (polled[1].revents != 0) Accept();
      open_connections = static_cast<int>(pairs.size());
    }
  }
};

TcpFaultProxy::TcpFaultProxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TcpFaultProxy::~TcpFaultProxy() = default;

absl::StatusOr<std::unique_ptr<TcpFaultProxy>> TcpFaultProxy::Start(const std::string& upstream_host,
                                                                    uint16_t upstream_port) {
  in_addr numeric = {};
  if (inet_pton(AF_INET, upstream_host.c_str(), &numeric) != 1) {
    return absl::InvalidArgumentError("the upstream must be an IPv4 address");
  }
  using Listener = std::pair<int, uint16_t>;
  ALCOVE_ASSIGN_OR_RETURN(const Listener listener, ListenTcp({"127.0.0.1", 0}));
  auto impl = std::make_unique<Impl>();
  impl->upstream_host = upstream_host;
  impl->upstream_port = upstream_port;
  impl->listener = listener.first;
  impl->port = listener.second;
  impl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (impl->wake_fd < 0) return ErrnoStatus(errno, "eventfd");
  impl->thread = std::thread([raw = impl.get()] { raw->Run(); });
  return std::unique_ptr<TcpFaultProxy>(new TcpFaultProxy(std::move(impl)));
}

uint16_t TcpFaultProxy::port() const { return impl_->port; }

void TcpFaultProxy::SetFault(Fault fault, absl::Duration delay) {
  impl_->delay_ns = absl::ToInt64Nanoseconds(delay);
  impl_->fault = fault;
  impl_->Wake();
}

int TcpFaultProxy::connections() const { return impl_->open_connections; }
uint64_t TcpFaultProxy::bytes() const { return impl_->forwarded; }

}  // namespace alcove::testing
