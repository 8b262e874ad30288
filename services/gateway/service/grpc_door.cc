#include "services/gateway/service/grpc_door.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/net/grpc_wire.h"
#include "services/gateway/rest/text_view.h"
#include "services/gateway/service/reflection.h"

namespace alcove::gateway {
namespace {

constexpr auto kHealthPoll = std::chrono::milliseconds(500);
constexpr size_t kMaxReflectionRequest = 64 * 1024;

void Begin(net::Exchange& exchange) {
  if (exchange.response_started()) return;
  net::HeaderList headers;
  headers.AddLower("content-type", "application/grpc");
  headers.AddLower("x-request-id", exchange.context().request_id(), true);
  exchange.StartResponse(200, std::move(headers));
}

asio::awaitable<absl::Status> SendMessage(net::Exchange& exchange, std::string_view message) {
  Begin(exchange);
  std::string frame;
  frame.reserve(message.size() + net::kGrpcPrefixBytes);
  net::AppendGrpcMessage(message, frame);
  co_return co_await exchange.Write(std::move(frame));
}

}  // namespace

asio::awaitable<void> GrpcDoor::Serve(std::shared_ptr<net::Exchange> exchange) {
  const int64_t began = net::Loop::NowNs();
  absl::Status status = co_await Answer(*exchange);
  if (exchange->cancelled()) co_return;
  Begin(*exchange);
  net::HeaderList trailers;
  net::AppendGrpcTrailers(status, trailers);
  exchange->Finish(std::move(trailers));

  const absl::Duration latency = absl::Nanoseconds(net::Loop::NowNs() - began);
  const MethodInfo* info = shared_.methods->Find(exchange->request().path());
  const std::string_view route = info != nullptr ? std::string_view(info->path) : std::string_view("grpc:other");
  shared_.metrics.requests.With({ToAbsl(route), "GRPC", StatusCodeName(status.code())}).Increment();
  shared_.metrics.latency.With({ToAbsl(route)}).Observe(latency);
  const AccessLog mode = shared_.options.access_log;
  if (mode == AccessLog::kAll || (mode == AccessLog::kErrors && !status.ok())) {
    LogInfo(exchange->context(), "grpc call",
            {{"method", ToAbsl(route)},
             {"code", StatusCodeName(status.code())},
             {"ms", absl::ToDoubleMilliseconds(latency)},
             {"peer", exchange->request().peer_address},
             {"key", exchange->context().key_id()}});
  }
}

asio::awaitable<absl::Status> GrpcDoor::Answer(net::Exchange& exchange) {
  if (exchange.request().method != "POST") co_return absl::InternalError("gRPC calls are POST requests");
  absl::StatusOr<RequestContext> head = ReadRequestHead(exchange, shared_.options.times);
  if (!head.ok()) co_return head.status();
  exchange.SetContext(*std::move(head));
  const std::string_view path = exchange.request().path();
  if (IsReflectionPath(path)) co_return co_await ServeReflection(exchange);
  if (path == "/grpc.health.v1.Health/Check") co_return co_await ServeHealth(exchange, false);
  if (path == "/grpc.health.v1.Health/Watch") co_return co_await ServeHealth(exchange, true);
  co_return co_await ServeUnary(exchange);
}

asio::awaitable<absl::Status> GrpcDoor::ServeUnary(net::Exchange& exchange) {
  const std::string_view path = exchange.request().path();
  const MethodInfo* info = shared_.methods->Find(path);
  if (info == nullptr || info->internal) {
    co_return absl::UnimplementedError(absl::StrCat("there is no method ", ToAbsl(path.substr(0, 200)), " here"));
  }
  absl::StatusOr<std::shared_ptr<const Caller>> caller =
      co_await authenticator_.Authenticate(exchange.request().headers);
  if (!caller.ok()) {
    if (absl::IsUnauthenticated(caller.status())) shared_.metrics.refused.With({"unauthenticated"}).Increment();
    co_return caller.status();
  }
  const RequestContext ctx = WithCaller(exchange.context(), (*caller)->tenant, (*caller)->key_id);
  exchange.SetContext(ctx);
  if (absl::Status status = CheckScope(**caller, info->scope); !status.ok()) {
    shared_.metrics.refused.With({"scope"}).Increment();
    co_return status;
  }
  if ((*caller)->usage != nullptr) {
    const GcraDecision decision = (*caller)->usage->Take(net::Loop::NowNs());
    if (!decision.allowed) {
      shared_.metrics.refused.With({"rate"}).Increment();
      co_return RateLimited(*(*caller)->usage, decision);
    }
  }
  if (info->planned) co_return NotBuilt(info->method->full_name());
  if (info->streaming()) {
    // The first call of a key after a pause ends here while the key is read; from now on it is in memory, and streams
    // of this key go straight to their process.
    co_return WithRetryAfter(absl::UnavailableError("the API key has just been looked up; repeat the call"),
                             absl::Milliseconds(1));
  }
  absl::StatusOr<std::string> request = co_await ReadMessage(exchange);
  if (!request.ok()) co_return request.status();
  absl::StatusOr<std::string> reply = co_await dispatcher_.CallBytes(ctx, *info, *std::move(request));
  if (!reply.ok()) co_return reply.status();
  co_return co_await SendMessage(exchange, *reply);
}

asio::awaitable<absl::StatusOr<std::string>> GrpcDoor::ReadMessage(net::Exchange& exchange) {
  absl::StatusOr<std::string> body = co_await exchange.ReadBody(shared_.options.max_body_bytes);
  if (!body.ok()) co_return body.status();
  net::GrpcMessageReader reader(shared_.options.max_body_bytes);
  reader.Append(*body);
  *body = std::string();
  absl::StatusOr<std::optional<std::string>> message = reader.Next();
  if (!message.ok()) co_return message.status();
  if (!message->has_value() || !reader.AtBoundary()) {
    co_return absl::InvalidArgumentError("expected exactly one message");
  }
  co_return std::move(**message);
}

asio::awaitable<absl::Status> GrpcDoor::ServeReflection(net::Exchange& exchange) {
  net::GrpcMessageReader reader(kMaxReflectionRequest);
  for (;;) {
    absl::StatusOr<std::optional<std::string>> chunk = co_await exchange.ReadChunk();
    if (!chunk.ok()) co_return chunk.status();
    if (!chunk->has_value()) co_return absl::OkStatus();
    reader.Append(**chunk);
    for (;;) {
      absl::StatusOr<std::optional<std::string>> message = reader.Next();
      if (!message.ok()) co_return message.status();
      if (!message->has_value()) break;
      absl::StatusOr<std::string> reply = AnswerReflection(*shared_.methods, **message);
      if (!reply.ok()) co_return reply.status();
      absl::Status sent = co_await SendMessage(exchange, *reply);
      if (!sent.ok()) co_return sent;
    }
  }
}

int GrpcDoor::HealthOf(const std::string& service) const {
  using grpc::health::v1::HealthCheckResponse;
  if (shared_.draining.load()) return HealthCheckResponse::NOT_SERVING;
  if (service.empty()) return HealthCheckResponse::SERVING;
  const std::vector<std::string>& known = shared_.methods->public_services();
  if (!std::binary_search(known.begin(), known.end(), service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  for (const MethodInfo& info : shared_.methods->methods()) {
    if (info.method->service()->full_name() != service) continue;
    if (info.upstream.empty()) return HealthCheckResponse::SERVING;
    const UpstreamPool* pool = upstreams_.Find(info.upstream);
    return pool != nullptr && pool->Ready() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
  return HealthCheckResponse::SERVICE_UNKNOWN;
}

asio::awaitable<absl::Status> GrpcDoor::ServeHealth(net::Exchange& exchange, bool watch) {
  using grpc::health::v1::HealthCheckResponse;
  absl::StatusOr<std::string> message = co_await ReadMessage(exchange);
  if (!message.ok()) co_return message.status();
  grpc::health::v1::HealthCheckRequest request;
  if (!request.ParseFromString(*message)) co_return absl::InvalidArgumentError("the message is no HealthCheckRequest");
  int told = -1;
  for (;;) {
    const int now = HealthOf(request.service());
    if (!watch && now == HealthCheckResponse::SERVICE_UNKNOWN) co_return NotFound("service", request.service());
    if (now != told) {
      told = now;
      HealthCheckResponse response;
      response.set_status(static_cast<HealthCheckResponse::ServingStatus>(now));
      const std::string bytes = response.SerializeAsString();
      absl::Status sent = co_await SendMessage(exchange, bytes);
      if (!watch || !sent.ok()) co_return sent;
    }
    if (exchange.cancelled()) co_return absl::CancelledError("the client went away");
    if (shared_.draining.load()) co_return absl::UnavailableError("the gateway is stopping");
    asio::steady_timer timer(exchange.executor(), kHealthPoll);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace alcove::gateway
