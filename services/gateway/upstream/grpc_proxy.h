#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/gcra.h"
#include "libs/common/metrics.h"
#include "libs/net/exchange.h"
#include "libs/net/server_stream.h"
#include "services/gateway/policy/concurrency_limit.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// Who calls, as the proxy needs to know it. One object per key and loop, shared by its requests: limits count in it.
struct Identity {
  std::string tenant;
  std::string key_id;       // for records; never the key itself
  std::string criticality;  // sent as x-alcove-criticality; empty: not sent
  Gcra request_limit{10'000, 10'000};
  ConcurrencyLimit concurrency{0};
};

// What is told about each finished stream. Views are valid during the call.
struct GrpcRecord {
  std::string_view path;
  std::string_view upstream;
  std::string_view endpoint;  // empty when none was reached
  const Identity* identity;   // null when authentication failed
  std::string_view request_id;
  std::string_view peer_address;
  absl::StatusCode code;  // as the client saw it; CANCELLED when it went away
  std::string_view message;
  absl::Duration latency;
  uint64_t bytes_in;   // request body
  uint64_t bytes_out;  // response body
  uint32_t attempts;
};

struct GrpcProxyOptions {
  // "/pkg.Service/Method" → the upstream that serves it, or null: not a proxied method (the stream then goes to
  // OnExchange, or answers UNIMPLEMENTED when `reject_unknown`). Asked once per distinct path; the answer is
  // remembered.
  std::function<UpstreamPool*(std::string_view path)> route;
  bool reject_unknown = false;
  size_t max_remembered_paths = 1024;  // beyond it unknown paths are asked again each time

  // Called for each stream before anything is sent upstream. The status is what the client sees. Must be fast: a lookup
  // in memory. Unset: everybody is `anonymous`.
  std::function<absl::StatusOr<std::shared_ptr<Identity>>(const net::ServerStream&)> authenticate;
  // Called after the identity's own request_limit and concurrency let the stream through: scopes, method permissions.
  // Unset: allowed.
  std::function<absl::Status(const net::ServerStream&, Identity&)> authorize;
  // Called when a stream ends. Unset: nobody is told.
  std::function<void(const GrpcRecord&)> record;

  Registry* registry = &DefaultRegistry();  // where counters live; shared by all loops

  double trace_ratio = 0;  // share of calls without a valid traceparent that begin a (sampled) trace here
  absl::Duration default_timeout = absl::InfiniteDuration();  // for calls without grpc-timeout
  absl::Duration max_timeout = absl::Hours(1);                // longer grpc-timeouts are cut to it
  // Methods of these full paths may be repeated after UNAVAILABLE while nothing was answered and the request fits
  // replay_bytes. Every method is repeated on another endpoint when the first certainly did not process it.
  std::function<bool(std::string_view path)> idempotent;
  size_t replay_bytes = 64 * 1024;
};

// Forwards gRPC streams of all four kinds between clients and upstreams, frame by frame with flow control both ways, by
// callbacks: no coroutine, and no allocation per request once warm.
//
// Request metadata passes except hop-by-hop fields, credentials (`authorization`, `x-api-key`, `cookie`) and any
// `x-alcove-*`; added are `x-alcove-tenant`, `x-alcove-request-id`, `x-alcove-criticality`, `traceparent` (kept when
// valid) and the remaining `grpc-timeout`. Responses pass with their trailers. A client that resets or disconnects
// resets the upstream stream in the same turn; a backend that dies answers UNAVAILABLE with the endpoint's name.
//
// Metrics (in `registry`): alcove_gateway_grpc_requests_total{service,method,code},
// alcove_gateway_grpc_request_seconds{service,method}, alcove_gateway_grpc_in_flight{service}.
//
// Thread safety: one per loop, the loop's own thread.
class GrpcProxy {
 public:
  GrpcProxy(net::Loop& loop, GrpcProxyOptions options);
  ~GrpcProxy();

  // For Handler::OnGrpcStream. Null: not a method this proxy serves.
  net::StreamHandler* Accept(net::ServerStream& stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alcove::gateway
