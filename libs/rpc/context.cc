#include "libs/rpc/context.h"

#include <algorithm>
#include <chrono>

#include "libs/net/grpc_wire.h"
#include "libs/net/views.h"

namespace alcove::rpc {
namespace {

constexpr size_t kMaxValue = 128;

absl::string_view Raw(const ServerCall& call, std::string_view key) {
  const std::string_view value = call.Metadata(key);
  return absl::string_view(value.data(), value.size());
}

std::string Clean(const ServerCall& call, std::string_view key) {
  const absl::string_view value = Raw(call, key);
  const bool printable = std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  return value.size() <= kMaxValue && printable ? std::string(value) : std::string();
}

bool IsHeaderText(absl::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// add(key, value) for everything the metadata says. Bytes that are not header text would make the call fail; such an
// identity never comes from ContextFromCall().
template <typename Add>
void ForEachEntry(const RequestContext& ctx, Add add) {
  const auto add_if_set = [&](const char* key, absl::string_view value) {
    if (IsHeaderText(value)) add(key, value);
  };
  add_if_set(kTenantKey, ctx.tenant());
  add_if_set(kRequestIdKey, ctx.request_id());
  add_if_set(kKeyIdKey, ctx.key_id());
  add_if_set(kTraceparentKey, FormatTraceparent(ctx.trace()));
  add_if_set(kTracestateKey, ctx.trace().state);
  if (ctx.criticality() != Criticality::kNormal) add_if_set(kCriticalityKey, CriticalityName(ctx.criticality()));
}

}  // namespace

RequestContext ContextFromCall(const ServerCall& call, CancellationToken cancellation) {
  RequestContext::Identity identity;
  identity.tenant = Clean(call, kTenantKey);
  identity.request_id = Clean(call, kRequestIdKey);
  if (identity.request_id.empty()) identity.request_id = NewRequestId();
  identity.key_id = Clean(call, kKeyIdKey);
  if (std::optional<TraceContext> trace = ParseTraceparent(Raw(call, kTraceparentKey))) {
    trace->state = SanitizeTracestate(Raw(call, kTracestateKey));
    identity.trace = ChildSpan(*trace);
  } else {
    identity.trace = NewTrace();
  }
  return RequestContext(std::move(identity), call.deadline(), std::move(cancellation),
                        ParseCriticality(Clean(call, kCriticalityKey)).value_or(Criticality::kNormal));
}

void ContextToHead(const RequestContext& ctx, net::HeaderList& head) {
  ForEachEntry(ctx, [&](std::string_view key, absl::string_view value) {
    // These differ from call to call, and would only wear out the table of repeated fields.
    const bool of_one_call = key == kRequestIdKey || key == kTraceparentKey;
    head.AddLower(key, net::StdView(value), of_one_call);
  });
  if (ctx.has_deadline()) head.AddLower("grpc-timeout", net::FormatGrpcTimeout(ctx.Remaining()), true);
}

CancellationRegistration ContextToClient(const RequestContext& ctx, grpc::ClientContext& client) {
  ForEachEntry(ctx, [&](const char* key, absl::string_view value) { client.AddMetadata(key, std::string(value)); });
  if (ctx.has_deadline()) client.set_deadline(absl::ToChronoTime(ctx.deadline()));
  return ctx.cancellation().OnCancel([&client] { client.TryCancel(); });
}

}  // namespace alcove::rpc
