#include "libs/rpc/context.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace alcove::rpc {
namespace {

constexpr size_t kMaxValue = 128;

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

absl::string_view Raw(const Metadata& metadata, const char* key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? absl::string_view() : absl::string_view(it->second.data(), it->second.size());
}

std::string Clean(const Metadata& metadata, const char* key) {
  const absl::string_view value = Raw(metadata, key);
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

RequestContext ContextFromServer(const grpc::ServerContextBase& server, CancellationToken cancellation) {
  const Metadata& metadata = server.client_metadata();
  RequestContext::Identity identity;
  identity.tenant = Clean(metadata, kTenantKey);
  identity.request_id = Clean(metadata, kRequestIdKey);
  if (identity.request_id.empty()) identity.request_id = NewRequestId();
  identity.key_id = Clean(metadata, kKeyIdKey);
  if (std::optional<TraceContext> trace = ParseTraceparent(Raw(metadata, kTraceparentKey))) {
    trace->state = SanitizeTracestate(Raw(metadata, kTracestateKey));
    identity.trace = ChildSpan(*trace);
  } else {
    identity.trace = NewTrace();
  }
  const std::chrono::system_clock::time_point deadline = server.deadline();
  const bool has_deadline = deadline != std::chrono::system_clock::time_point::max();
  return RequestContext(std::move(identity), has_deadline ? absl::FromChrono(deadline) : absl::InfiniteFuture(),
                        std::move(cancellation),
                        ParseCriticality(Clean(metadata, kCriticalityKey)).value_or(Criticality::kNormal));
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
