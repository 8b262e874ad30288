#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/request_context.h"
#include "libs/net/exchange.h"

namespace alcove::gateway {

// How long requests may take.
struct TimeLimits {
  absl::Duration usual = absl::Seconds(30);    // when the client says nothing
  absl::Duration longest = absl::Minutes(10);  // whatever the client says
};

// The context of an exchange with the client's request id (x-request-id: up to 128 printable characters without spaces;
// anything else is replaced) and its deadline from x-request-timeout ("1.5s", "500ms", or seconds as a bare number) or
// grpc-timeout. INVALID_ARGUMENT for a malformed timeout.
absl::StatusOr<RequestContext> ReadRequestHead(const net::Exchange& exchange, const TimeLimits& limits);

// The context once the caller is known.
RequestContext WithCaller(const RequestContext& ctx, const std::string& tenant, const std::string& key_id);

// Whether a comma-separated list header names `item` with a quality above zero ("gzip" in "br, gzip;q=0.5").
bool ListAccepts(std::string_view header, std::string_view item);

// gzip at a level that costs little; empty when it would not make the body smaller.
std::string Gzip(std::string_view body);

}  // namespace alcove::gateway
