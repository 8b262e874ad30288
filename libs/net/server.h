#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/net/exchange.h"
#include "libs/net/loop.h"
#include "libs/net/loop_threads.h"

namespace alcove::net {

// Bounds on what one client may hold or send. Every field has a default that suits the open Internet.
struct NetLimits {
  size_t max_header_bytes = 32 * 1024;     // whole request head (HTTP/1) or header list (HTTP/2); 431 beyond
  size_t max_headers = 128;                // fields; 431 beyond
  size_t max_body_bytes = 64u << 20;       // hard cap of a request body; 413 beyond
  size_t max_connections = 10'000;         // per loop; further ones are closed at once
  uint32_t max_concurrent_streams = 1000;  // HTTP/2, per connection
  uint32_t stream_window = 256 * 1024;     // HTTP/2 receive window per stream, bytes
  uint32_t connection_window = 8u << 20;   // HTTP/2 receive window per connection, bytes
  uint64_t stream_reset_burst = 1000;      // client RST_STREAMs allowed at once before GOAWAY …
  uint64_t stream_reset_rate = 50;         // … and per second after that (rapid reset, CVE-2023-44487)
  uint64_t control_frame_burst = 1000;     // PING, SETTINGS, PRIORITY, empty frames: same rule
  uint64_t control_frame_rate = 100;
  absl::Duration keep_alive = absl::Seconds(60);         // idle connection
  absl::Duration header_timeout = absl::Seconds(10);     // from the first byte of a request to the end of its head
  absl::Duration body_idle_timeout = absl::Seconds(30);  // between two reads of a body the application waits for
  absl::Duration write_timeout = absl::Seconds(60);      // a client that reads nothing
};

// Certificate chain and key in PEM files. ALPN offers h2 and http/1.1; TLS 1.2 is the oldest version accepted.
struct TlsOptions {
  std::string certificate_file;
  std::string private_key_file;
  std::string client_ca_file;  // non-empty: clients must present a certificate signed by it (mTLS)
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // IPv4 or IPv6 literal
  uint16_t port = 8080;               // 0: any free one, see Server::port()
  // A listening socket to use instead of address and port, non-blocking; Start takes it over, and closes it when it
  // fails. One loop then accepts and deals the connections out in turn: right for few, busy peers, whom SO_REUSEPORT
  // would spread by chance.
  int listening_socket = -1;
  // Loops to serve on; they outlive the server. Null: the server's own, as many as `threads` and as `loop` says.
  LoopThreads* loops = nullptr;
  int threads = 0;  // 0: one per CPU this process may use
  bool tls = false;
  TlsOptions tls_options;
  NetLimits limits;
  Loop::Options loop;
  std::string server_name = "alcove";  // the `server` header of HTTP/1 and HTTP/2 exchanges
};

// Counters of the network layer, summed over loops. Any thread.
struct NetStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  uint64_t connections_refused = 0;
  uint64_t requests_http1 = 0;
  uint64_t requests_http2 = 0;
  uint64_t protocol_errors = 0;
  uint64_t tls_failures = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};

// The public door: `threads` loops, each with its own SO_REUSEPORT acceptor, one port for HTTP/1.1, HTTP/2 with prior
// knowledge, and both over TLS by ALPN.
//
// Life: Start → serving → Drain (stops accepting, GOAWAY, finishes what is in flight) → Stop. Start and Stop are called
// from one control thread; Drain and stats from any.
class Server {
 public:
  // Called once per loop, on that loop's thread before it serves, to build its application.
  using HandlerFactory = std::function<std::unique_ptr<Handler>(Loop&)>;

  // Binds and begins serving. UNAVAILABLE with the address when the port is taken; INVALID_ARGUMENT for a bad address
  // or certificate.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, HandlerFactory factory);
  // Stops without grace what Drain has not finished.
  ~Server();

  uint16_t port() const;
  size_t loop_count() const;
  Loop& loop(size_t index);

  // Graceful end: no new connections, GOAWAY and `connection: close`, then waits until every exchange is finished or
  // `timeout` passes; what is left is cancelled. Returns DEADLINE_EXCEEDED when something had to be cancelled. Blocks.
  absl::Status Drain(absl::Duration timeout);
  NetStats stats() const;
  // Exchanges and streams in flight now.
  uint64_t in_flight() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace alcove::net
