#include "libs/rpc/context.h"

#include <algorithm>
#include <chrono>

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

void AddIfSet(grpc::ClientContext& client, const char* key, absl::string_view value) {
  // Other bytes would make gRPC fail the call; such an identity never comes from ContextFromServer().
  if (IsHeaderText(value)) client.AddMetadata(key, std::string(value));
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

CancellationRegistration ContextToClient(const RequestContext& ctx, grpc::ClientContext& client) {
  AddIfSet(client, kTenantKey, ctx.tenant());
  AddIfSet(client, kRequestIdKey, ctx.request_id());
  AddIfSet(client, kKeyIdKey, ctx.key_id());
  AddIfSet(client, kTraceparentKey, FormatTraceparent(ctx.trace()));
  AddIfSet(client, kTracestateKey, ctx.trace().state);
  if (ctx.criticality() != Criticality::kNormal) AddIfSet(client, kCriticalityKey, CriticalityName(ctx.criticality()));
  if (ctx.has_deadline()) client.set_deadline(absl::ToChronoTime(ctx.deadline()));
  return ctx.cancellation().OnCancel([&client] { client.TryCancel(); });
}

}  // namespace alcove::rpc
