// RequestContext to and from gRPC metadata: x-alcove-tenant, x-alcove-request-id, x-alcove-key-id,
// x-alcove-criticality, traceparent, tracestate; the deadline travels as grpc-timeout. Only the gateway may be reached
// by clients, and it strips what they send under these names, so a backend trusts them.
#pragma once

#include <grpcpp/client_context.h>

#include "libs/common/request_context.h"
#include "libs/rpc/server_call.h"

namespace alcove::rpc {

inline constexpr char kTenantKey[] = "x-alcove-tenant";
inline constexpr char kRequestIdKey[] = "x-alcove-request-id";
inline constexpr char kKeyIdKey[] = "x-alcove-key-id";
inline constexpr char kCriticalityKey[] = "x-alcove-criticality";
inline constexpr char kTraceparentKey[] = "traceparent";
inline constexpr char kTracestateKey[] = "tracestate";

// What a call's metadata says. A missing request id is made up; values longer than 128 bytes or with other than
// printable ASCII count as missing. The trace becomes a child span of the caller's.
RequestContext ContextFromCall(const ServerCall& call, CancellationToken cancellation = {});

// Puts the context into the head of an outgoing call: metadata, and as grpc-timeout what is left of the deadline.
void ContextToHead(const RequestContext& ctx, net::HeaderList& head);

// The same for grpc++. The returned registration cancels the call when the
// context is cancelled; keep it until the call has ended, and no longer than `client`.
[[nodiscard]] CancellationRegistration ContextToClient(const RequestContext& ctx, grpc::ClientContext& client);

}  // namespace alcove::rpc
