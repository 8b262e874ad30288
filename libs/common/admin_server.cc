#include "libs/common/admin_server.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libs/common/clock.h"
#include "libs/common/http_request.h"
#include "libs/common/log.h"
#include "libs/common/net_address.h"
#include "libs/common/status.h"

namespace alcove {
namespace {

constexpr size_t kMaxConnections = 64;
constexpr int64_t kRequestNanos = int64_t{5} * 1000 * 1000 * 1000;
constexpr int64_t kIdleNanos = int64_t{60} * 1000 * 1000 * 1000;

absl::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

// One client: bytes read and not yet understood, bytes not yet written.
struct Connection {
  int fd = -1;
  std::string in;
  std::string out;
  bool close_after_write = false;
  int64_t deadline_ns = 0;
};

}  // namespace

struct AdminServer::Impl {
  AdminOptions options;
  std::string address;
  uint16_t port = 0;
  int listener = -1;
  int wake_fd = -1;
  std::atomic<bool> stopping{false};
  std::vector<Connection> connections;  // used by the thread only
  std::thread thread;
  absl::Mutex pages_mu;
  std::map<std::string, AdminPage> pages ABSL_GUARDED_BY(pages_mu);

  ~Impl() {
    stopping.store(true);
    const uint64_t one = 1;
    if (wake_fd >= 0) (void)!write(wake_fd, &one, sizeof(one));
    if (thread.joinable()) thread.join();
    for (const Connection& connection : connections) close(connection.fd);
    if (listener >= 0) close(listener);
    if (wake_fd >= 0) close(wake_fd);
  }

  AdminReply Handle(const HttpRequestHead& request) {
    if (request.method != "GET" && request.method != "HEAD") return {405, "text/plain; charset=utf-8", "GET only\n"};
    if (request.path == "/metrics") {
      const MetricsFormat format = NegotiateMetricsFormat(request.Header("accept"));
      return {200, std::string(MetricsContentType(format)), options.registry->Render(format)};
    }
    if (request.path == "/health/live") return {200, "text/plain; charset=utf-8", "live\n"};
    if (request.path == "/health/ready") {
      const absl::Status ready = options.ready();
      if (ready.ok()) return {200, "text/plain; charset=utf-8", "ready\n"};
      return {503, "text/plain; charset=utf-8", absl::StrCat("not ready: ", ready.message(), "\n")};
    }
    if (request.path == "/debug/config") return {200, "application/yaml; charset=utf-8", options.config_yaml};
    absl::MutexLock lock(&pages_mu);
    if (const auto page = pages.find(request.path); page != pages.end()) return page->second(request.query);
    std::string known = "not found; pages here: /metrics /health/live /health/ready /debug/config";
    for (const auto& page : pages) absl::StrAppend(&known, " ", page.first);
    return {404, "text/plain; charset=utf-8", known + "\n"};
  }

  static void Reply(Connection& connection, const AdminReply& reply, bool keep_alive, bool head) {
    absl::StrAppend(&connection.out, "HTTP/1.1 ", reply.status, " ", ReasonPhrase(reply.status),
                    "\r\nContent-Type: ", reply.content_type, "\r\nContent-Length: ", reply.body.size(),
                    "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: ",
                    keep_alive ? "keep-alive" : "close", "\r\n\r\n", head ? "" : reply.body);
    if (!keep_alive) connection.close_after_write = true;
  }

  // Answers every whole request in the buffer.
  void Consume(Connection& connection) {
    while (!connection.close_after_write) {
      HttpRequestHead request;
      const HttpParse parse = ParseHttpRequestHead(connection.in, &request);
      if (parse.result == HttpParseResult::kNeedMore) return;
      if (parse.result != HttpParseResult::kOk) {
        const bool large = parse.result == HttpParseResult::kTooLarge;
        Reply(connection, {large ? 431 : 400, "text/plain; charset=utf-8", large ? "too large\n" : "malformed\n"},
              false, false);
        return;
      }
      if (request.has_body) {
        Reply(connection, {413, "text/plain; charset=utf-8", "no bodies here\n"}, false, false);
        return;
      }
      connection.in.erase(0, parse.consumed);
      Reply(connection, Handle(request), request.keep_alive, request.method == "HEAD");
      connection.deadline_ns = RealClock()->MonotonicNanos() + kIdleNanos;
    }
  }

  // False when the connection is finished.
  bool Serve(Connection& connection, short events) {
    if (events & (POLLERR | POLLNVAL)) return false;
    if (events & (POLLIN | POLLHUP)) {
      char buffer[4096];
      const ssize_t got = recv(connection.fd, buffer, sizeof(buffer), 0);
      if (got == 0) return false;
      if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (got > 0) {
        if (connection.in.empty()) connection.deadline_ns = RealClock()->MonotonicNanos() + kRequestNanos;
        connection.in.append(buffer, static_cast<size_t>(got));
        Consume(connection);
      }
    }
    if (!connection.out.empty()) {
      const ssize_t sent = send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (sent > 0) connection.out.erase(0, static_cast<size_t>(sent));
    }
    return !(connection.out.empty() && connection.close_after_write);
  }

  void Accept() {
    while (true) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      if (connections.size() == kMaxConnections) {
        // The one nearest to its deadline makes room: a probe must always get through.
        const auto oldest =
            std::min_element(connections.begin(), connections.end(),
                             [](const Connection& a, const Connection& b) { return a.deadline_ns < b.deadline_ns; });
        close(oldest->fd);
        connections.erase(oldest);
      }
      Connection connection;
      connection.fd = fd;
      connection.deadline_ns = RealClock()->MonotonicNanos() + kRequestNanos;
      connections.push_back(std::move(connection));
    }
  }

  void Run() {
    std::vector<pollfd> polled;
    while (!stopping.load()) {
      polled.assign({{wake_fd, POLLIN, 0}, {listener, POLLIN, 0}});
      for (const Connection& connection : connections) {
        // A client that does not read its replies is not read from either.
        const short events = connection.out.empty() ? POLLIN : POLLOUT;
        polled.push_back({connection.fd, events, 0});
      }
      if (poll(polled.data(), polled.size(), connections.empty() ? -1 : 1000) < 0 && errno != EINTR) {
        LogError("admin server stops: poll failed", {{"error", ErrnoStatus(errno, "poll")}});
        return;
      }
      const int64_t now = RealClock()->MonotonicNanos();
      size_t kept = 0;
      for (size_t i = 0; i < connections.size(); ++i) {
        Connection& connection = connections[i];
        const bool alive =
            (polled[i + 2].revents == 0 || Serve(connection, polled[i + 2].revents)) && connection.deadline_ns > now;
        if (!alive) {
          close(connection.fd);
        } else if (kept++ != i) {
          connections[kept - 1] = std::move(connection);
        }
      }
      connections.resize(kept);
      if (polled[1].revents != 0) Accept();
    }
  }
};

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(AdminOptions options) {
  ALCOVE_ASSIGN_OR_RETURN(HostPort listen_address, ParseHostPort(options.listen));
  auto impl = std::make_unique<Impl>();
  using Listener = std::pair<int, uint16_t>;
  ALCOVE_ASSIGN_OR_RETURN(const Listener listener, ListenTcp(listen_address, 64));
  impl->pages = std::move(options.pages);
  impl->options = std::move(options);
  impl->listener = listener.first;
  impl->port = listener.second;
  listen_address.port = listener.second;
  impl->address = listen_address.ToString();
  impl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (impl->wake_fd < 0) return ErrnoStatus(errno, "cannot start the admin server");
  impl->thread = std::thread([raw = impl.get()] { raw->Run(); });
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

void AdminServer::AddPages(std::map<std::string, AdminPage> pages) {
  absl::MutexLock lock(&impl_->pages_mu);
  for (auto& [path, page] : pages) impl_->pages.insert_or_assign(path, std::move(page));
}

uint16_t AdminServer::port() const { return impl_->port; }
std::string AdminServer::address() const { return impl_->address; }

}  // namespace alcove
