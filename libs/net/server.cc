#include "libs/net/server.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"
#include "libs/net/front_protocol.h"
#include "libs/net/server_state.h"

namespace alcove::net {
namespace {

using asio::ip::tcp;

absl::StatusOr<tcp::acceptor> Listen(asio::io_context& io, const tcp::endpoint& endpoint, bool reuse_port) {
  const std::string name = absl::StrCat(endpoint.address().to_string(), ":", endpoint.port());
  boost::system::error_code error;
  tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  const int on = 1;
  if (!error && reuse_port && ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot share port ", name, " between threads"));
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error == asio::error::address_in_use) {
    return absl::UnavailableError(absl::StrCat(name, " is taken by another process; choose another port"));
  }
  if (error) return ErrnoStatus(error.value(), absl::StrCat("cannot listen on ", name));
  return acceptor;
}

}  // namespace

struct Server::Impl {
  struct Worker {
    Worker(Loop& loop, const ServerOptions& options) : loop(loop), state(loop, options), acceptor(loop.io()) {}
    Loop& loop;
    ServerState state;
    std::unique_ptr<Handler> handler;
    tcp::acceptor acceptor;
    std::unique_ptr<asio::steady_timer> accept_again;  // while there are no descriptors
    absl::flat_hash_map<Connection*, std::shared_ptr<Connection>> connections;
  };

  ServerOptions options;
  std::shared_ptr<asio::ssl::context> tls;
  std::unique_ptr<LoopThreads> own_loops;
  LoopThreads* loops = nullptr;
  std::vector<std::unique_ptr<Worker>> workers;  // one for each loop
  uint16_t port = 0;
  size_t next_worker = 0;  // of the loop that accepts, where one does for all

  absl::Status UseListeningSocket();
  absl::Status ListenOnEachLoop();
  void Accept(Worker& w);
  // The loop the next connection belongs to.
  Worker& Next(Worker& accepting);
  void Adopt(Worker& w, tcp::socket socket);
  void CloseAcceptor(Worker& w);
  void WaitUntilGone(const std::vector<std::weak_ptr<Connection>>& connections) const;
  // Runs `f(worker)` on every loop and waits until all have run.
  template <typename F>
  void OnEachLoop(F f) const {
    loops->OnEach([&](size_t index) { f(*workers[index]); });
  }
};

Server::Impl::Worker& Server::Impl::Next(Worker& accepting) {
  if (options.listening_socket < 0) return accepting;
  return *workers[next_worker++ % workers.size()];
}

absl::Status Server::Impl::UseListeningSocket() {
  sockaddr_storage bound = {};
  socklen_t length = sizeof(bound);
  if (::getsockname(options.listening_socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return ErrnoStatus(errno, "the listening socket cannot be used");
  }
  boost::system::error_code error;
  tcp::acceptor& acceptor = workers[0]->acceptor;
  acceptor.assign(bound.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), options.listening_socket, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  return error ? ErrnoStatus(error.value(), "the listening socket cannot be used") : absl::OkStatus();
}

absl::Status Server::Impl::ListenOnEachLoop() {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("http.address: \"", options.address, "\" is not an IP address"));
  }
  tcp::endpoint endpoint(address, options.port);
  if (endpoint.port() != 0) {
    // Sharing a port would also share it with another process that asks for it: a plain bind tells.
    ALCOVE_ASSIGN_OR_RETURN(tcp::acceptor probe, Listen(workers[0]->loop.io(), endpoint, /*reuse_port=*/false));
    probe.close(error);
  }
  for (auto& w : workers) {
    ALCOVE_ASSIGN_OR_RETURN(w->acceptor, Listen(w->loop.io(), endpoint, /*reuse_port=*/true));
    if (endpoint.port() == 0) endpoint.port(w->acceptor.local_endpoint(error).port());
  }
  port = endpoint.port();
  return absl::OkStatus();
}

void Server::Impl::Accept(Worker& w) {
  Worker& to = Next(w);
  w.acceptor.async_accept(to.loop.io(), [this, &w, &to](const boost::system::error_code& error, tcp::socket socket) {
    if (!error && &to != &w) {
      auto moved = std::make_shared<tcp::socket>(std::move(socket));
      to.loop.Post([this, &to, moved] { Adopt(to, std::move(*moved)); });
    } else if (!error) {
      Adopt(w, std::move(socket));
    }
    if (error == asio::error::operation_aborted || !w.acceptor.is_open()) return;
    // Out of descriptors: the listening queue waits until some connection has gone.
    if (error == asio::error::no_descriptors) {
      w.accept_again = std::make_unique<asio::steady_timer>(w.loop.io(), std::chrono::milliseconds(50));
      w.accept_again->async_wait([this, &w](const boost::system::error_code& e) {
        if (!e && w.acceptor.is_open()) Accept(w);
      });
      return;
    }
    Accept(w);
  });
}

void Server::Impl::Adopt(Worker& w, tcp::socket socket) {
  if (w.connections.size() >= options.limits.max_connections || w.state.draining) {
    w.state.connections_refused.Add();
    boost::system::error_code ignored;
    socket.close(ignored);
    return;
  }
  w.state.connections_accepted.Add();
  w.state.connections_open.Add();
  Connection::Options connection_options;
  connection_options.write_timeout = options.limits.write_timeout;
  connection_options.counters = &w.state.bytes;
  auto connection = std::make_shared<Connection>(w.loop, std::move(socket), std::make_unique<FrontProtocol>(w.state),
                                                 connection_options, tls ? std::make_unique<TlsFilter>(tls) : nullptr);
  connection->SetOnGone([&w](Connection* gone) {
    w.state.connections_open.Subtract();
    w.connections.erase(gone);
  });
  w.connections.emplace(connection.get(), connection);
  connection->Start();
}

void Server::Impl::CloseAcceptor(Worker& w) {
  if (!w.acceptor.is_open()) return;
  // What the kernel has accepted already would be reset by closing the socket, so it is taken in first.
  boost::system::error_code error;
  w.acceptor.non_blocking(true, error);
  for (;;) {
    tcp::socket socket(w.loop.io());
    w.acceptor.accept(socket, error);
    if (error) break;
    Adopt(w, std::move(socket));
  }
  w.acceptor.close(error);
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, HandlerFactory factory) {
  auto impl = std::make_unique<Impl>();
  absl::Cleanup close_socket = [socket = options.listening_socket] {
    if (socket >= 0) ::close(socket);
  };
  if (options.threads < 0 || options.threads > 1024) {
    return absl::InvalidArgumentError(absl::StrCat("http.threads: ", options.threads, " is not within 0..1024"));
  }
  impl->options = std::move(options);
  impl->loops = impl->options.loops;
  if (impl->loops == nullptr) {
    const int threads = impl->options.threads > 0 ? impl->options.threads : AvailableCpus();
    impl->own_loops = std::make_unique<LoopThreads>(threads, impl->options.loop);
    impl->loops = impl->own_loops.get();
  }
  for (size_t i = 0; i < impl->loops->size(); ++i) {
    impl->workers.push_back(std::make_unique<Impl::Worker>((*impl->loops)[i], impl->options));
  }

  if (impl->options.listening_socket >= 0) {
    ALCOVE_RETURN_IF_ERROR(impl->UseListeningSocket());
    std::move(close_socket).Cancel();
  } else {
    ALCOVE_RETURN_IF_ERROR(impl->ListenOnEachLoop());
  }
  if (impl->options.tls) {
    ALCOVE_ASSIGN_OR_RETURN(impl->tls, MakeServerTls(impl->options.tls_options));
  }

  Impl* raw = impl.get();
  raw->OnEachLoop([&factory](Impl::Worker& w) {
    w.handler = factory(w.loop);
    w.state.handler = w.handler.get();
  });
  raw->OnEachLoop([raw](Impl::Worker& w) {
    if (w.acceptor.is_open()) raw->Accept(w);
  });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::~Server() {
  // Closing tells the protocols in a later handler, and those wake coroutines in yet later ones: a few rounds let
  // them unwind while their handler still exists.
  constexpr int kRounds = 4;
  std::mutex mutex;
  std::vector<std::weak_ptr<Connection>> closing;
  impl_->OnEachLoop([&](Impl::Worker& w) {
    boost::system::error_code error;
    w.acceptor.close(error);
    w.accept_again = nullptr;
    w.state.draining = true;
    const std::lock_guard lock(mutex);
    for (auto& [raw, connection] : w.connections) {
      connection->Close(absl::CancelledError("the server is stopping"));
      closing.push_back(connection);
    }
  });
  for (int i = 0; i < kRounds; ++i) impl_->OnEachLoop([](Impl::Worker&) {});
  impl_->OnEachLoop([](Impl::Worker& w) {
    w.state.handler = nullptr;
    w.handler.reset();
  });
  for (int i = 0; i < kRounds; ++i) impl_->OnEachLoop([](Impl::Worker&) {});
  if (impl_->own_loops != nullptr) {
    impl_->own_loops->Stop();
  } else {
    impl_->WaitUntilGone(closing);
  }
}

// Loops that go on may still run handlers of connections that are closed, and those refer to their worker.
void Server::Impl::WaitUntilGone(const std::vector<std::weak_ptr<Connection>>& connections) const {
  const auto gone = [](const std::weak_ptr<Connection>& connection) { return connection.expired(); };
  while (!std::all_of(connections.begin(), connections.end(), gone)) {
    OnEachLoop([](Worker&) {});
    absl::SleepFor(absl::Milliseconds(1));
  }
  OnEachLoop([](Worker&) {});  // the destructor of the last one has ended
}

uint16_t Server::port() const { return impl_->port; }
size_t Server::loop_count() const { return impl_->loops->size(); }
Loop& Server::loop(size_t index) { return (*impl_->loops)[index]; }

absl::Status Server::Drain(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  impl_->OnEachLoop([this](Impl::Worker& w) {
    w.state.draining = false;
    impl_->CloseAcceptor(w);
    w.state.draining = true;
    std::vector<std::shared_ptr<Connection>> all;
    for (auto& [raw, connection] : w.connections) all.push_back(connection);
    for (auto& connection : all) static_cast<FrontProtocol&>(connection->protocol()).BeginDrain();
  });
  const auto open = [this] {
    uint64_t n = 0;
    for (auto& w : impl_->workers) n += w->state.connections_open.Get();
    return n;
  };
  while (open() > 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
  if (open() == 0) return absl::OkStatus();
  const uint64_t left = in_flight();
  impl_->OnEachLoop([](Impl::Worker& w) {
    for (auto& [raw, connection] : w.connections) connection->Close(absl::CancelledError("the drain deadline passed"));
  });
  if (left == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(left, " requests were cancelled at the end of the drain"));
}

NetStats Server::stats() const {
  NetStats s;
  for (const auto& w : impl_->workers) {
    const ServerState& state = w->state;
    s.connections_accepted += state.connections_accepted.Get();
    s.connections_open += state.connections_open.Get();
    s.connections_refused += state.connections_refused.Get();
    s.requests_http1 += state.requests_http1.Get();
    s.requests_http2 += state.requests_http2.Get();
    s.protocol_errors += state.protocol_errors.Get();
    s.tls_failures += state.tls_failures.Get();
    s.bytes_in += state.bytes.bytes_in.Get();
    s.bytes_out += state.bytes.bytes_out.Get();
  }
  return s;
}

uint64_t Server::in_flight() const {
  uint64_t n = 0;
  for (const auto& w : impl_->workers) n += w->state.in_flight.Get();
  return n;
}

}  // namespace alcove::net
