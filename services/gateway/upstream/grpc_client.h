#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/request_context.h"
#include "libs/net/header_list.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

namespace asio = boost::asio;

struct CallOptions {
  bool idempotent = false;                            // may be repeated after UNAVAILABLE, within the retry budget
  absl::Duration timeout = absl::InfiniteDuration();  // the sooner of this and the context's deadline applies
  std::string affinity_key;                           // for hashing balancers
  net::HeaderList metadata;                           // sent as it is, beside what the context gives
};

// A gRPC call in progress. Obtained from GrpcClient::Open; destroying it before its end cancels it (RST_STREAM).
// At most one Write and one Read may be pending at a time. Thread safety: the loop's own thread.
class GrpcCall {
 public:
  virtual ~GrpcCall() = default;
  // Sends one message; completes when there is room for more. An error means the call has ended: Read tells its status.
  virtual asio::awaitable<absl::Status> Write(std::string message) = 0;
  // No more messages from this side.
  virtual void WritesDone() = 0;
  // The next message; nullopt when the server ended the call with OK. A failed call answers its status, with details.
  virtual asio::awaitable<absl::StatusOr<std::optional<std::string>>> Read() = 0;
  virtual void Cancel() = 0;
  // Response metadata; empty before the first message.
  virtual const net::HeaderList& headers() const = 0;
  virtual const net::HeaderList& trailers() const = 0;
};

// gRPC calls from coroutines on one loop. Every call carries what the context knows: `x-alcove-tenant`,
// `x-alcove-request-id`, `x-alcove-criticality`, `traceparent`, and the remaining time as `grpc-timeout`; when the
// context is cancelled or its deadline passes the call is reset at the backend at once and answers CANCELLED or
// DEADLINE_EXCEEDED.
//
// Attempts that certainly reached no handler (connection refused, REFUSED_STREAM, GOAWAY) are repeated on another
// endpoint without asking; UNAVAILABLE is repeated only for idempotent calls.
//
// Messages are serialized protobuf bytes: this layer knows no proto type.
class GrpcClient {
 public:
  explicit GrpcClient(UpstreamSet& upstreams) : upstreams_(upstreams) {}

  // One request, one reply. `service` names an upstream ("vector-search"), `method` is
  // "/alcove.vector.v1.Search/Query". `context` must outlive the returned awaitable. NOT_FOUND for an unknown service
  // name.
  asio::awaitable<absl::StatusOr<std::string>> Unary(RequestContext context, std::string service, std::string method,
                                                     std::string request, CallOptions options = {});
  // A call of any kind. Not repeated once anything was written. Server streaming: Open, Write, WritesDone, Read until
  // nullopt.
  asio::awaitable<absl::StatusOr<std::unique_ptr<GrpcCall>>> Open(RequestContext context, std::string service,
                                                                  std::string method, CallOptions options = {});

 private:
  UpstreamSet& upstreams_;
};

}  // namespace alcove::gateway
