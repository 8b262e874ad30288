#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "libs/net/header_list.h"
#include "libs/net/loop.h"
#include "services/gateway/upstream/upstream_stream.h"

namespace alcove::gateway {

// Begins a gRPC request head: pseudo headers, content type, te.
void StartGrpcHead(std::string_view path, std::string_view authority, std::string_view content_type,
                   net::HeaderList& head);

// Whether a client's request field may be passed on to a backend: not hop-by-hop, not a credential, not one that only
// the gateway may set.
bool ForwardableRequestField(std::string_view lower_name);
// Whether a backend's response field may be passed on to a client.
bool ForwardableResponseField(std::string_view lower_name);

// A well-formed traceparent, judged by its shape alone.
bool LooksLikeTraceparent(std::string_view value);

// 16 lower-case hex digits for a request id (it travels uncompressed with every call); 55 characters of a new, sampled
// traceparent.
void AppendRandomId(net::Loop& loop, std::string& out);
void AppendNewTraceparent(net::Loop& loop, std::string& out);

// What a caller must be told when a stream ended without gRPC status.
absl::Status StatusFromClose(const UpstreamHandler::Close& close, std::string_view service, std::string_view endpoint);

}  // namespace alcove::gateway
