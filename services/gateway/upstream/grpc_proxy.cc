#include "services/gateway/upstream/grpc_proxy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/net/grpc_call.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/views.h"
#include "services/gateway/upstream/call_metadata.h"
#include "services/gateway/upstream/endpoint.h"

namespace alcove::gateway {
namespace {

constexpr size_t kMaxFreeStreams = 4096;
constexpr size_t kHighWater = net::StreamHandler::kStreamHighWater;

// What is remembered of one path: where it goes and what is counted of it.
struct Method {
  std::string service = "unknown";
  std::string name = "unknown";
  UpstreamPool* pool = nullptr;  // null: not served here
  bool idempotent = false;
  Counter* by_code[17] = {};  // made when first needed
  Histogram* seconds = nullptr;
};

}  // namespace

struct GrpcProxy::Impl {
  class Stream;

  Impl(net::Loop& loop, GrpcProxyOptions options)
      : loop(loop),
        options(std::move(options)),
        requests(this->options.registry->AddCounterFamily("alcove_gateway_grpc_requests_total",
                                                          "gRPC calls answered through the gateway.",
                                                          {"service", "method", "code"})),
        seconds(this->options.registry->AddHistogramFamily("alcove_gateway_grpc_request_seconds",
                                                           "Time from a call's head to the end of its response.",
                                                           LatencyBuckets(), {"service", "method"})),
        in_flight(this->options.registry->AddGauge("alcove_gateway_grpc_in_flight", "gRPC calls in progress.")) {}

  Method* FindMethod(std::string_view path);
  void Count(Method& method, absl::StatusCode code, int64_t latency_ns);

  net::Loop& loop;
  const GrpcProxyOptions options;
  const int64_t default_timeout_ns = absl::ToInt64Nanoseconds(options.default_timeout);
  const std::string default_timeout_text = net::FormatGrpcTimeout(options.default_timeout);
  CounterFamily& requests;
  HistogramFamily& seconds;
  Gauge& in_flight;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods;
  // Calls of paths beyond max_remembered_paths are counted together, per upstream.
  absl::flat_hash_map<UpstreamPool*, std::unique_ptr<Method>> others;
  Method unknown;
  std::vector<std::unique_ptr<Stream>> free_streams;
  std::shared_ptr<Identity> anonymous = std::make_shared<Identity>();
};

// One call on its way through: the client's stream on one side, an attempt at a backend on the other.
class GrpcProxy::Impl::Stream final : public net::StreamHandler, public net::ClientStreamHandler {
 public:
  explicit Stream(Impl& impl) : impl_(impl) {}

  void Begin(net::ServerStream& client, Method& method);

  void OnData(std::string_view bytes) override;
  void OnEnd() override;
  void OnDrained() override;
  void OnClose(uint32_t error_code) override;

  void OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) override;
  void OnResponseData(std::string_view bytes) override;
  void OnResponseTrailers(net::HeaderList& trailers) override;
  void OnRequestDrained() override;
  void OnResponseClose(const Close& close) override;

 private:
  absl::Status Admit();
  void Attempt();
  // Another attempt if policy allows; false when the outcome stands.
  bool Retry(const AttemptOutcome& outcome);
  void Fail(const absl::Status& status);
  void EndAttempt(CallResult result);
  void Conclude(absl::StatusCode code, std::string_view message);
  // `list` without what a client must not see: itself when there is nothing to remove.
  const net::HeaderList& Forwardable(const net::HeaderList& list);
  void Recycle();
  void OnDeadline();
  void OnBackoff();

  Impl& impl_;
  net::ServerStream* client_ = nullptr;
  Method* method_ = nullptr;
  std::shared_ptr<Identity> identity_;
  bool holds_concurrency_ = false;

  net::ClientStream* upstream_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  const Endpoint* failed_endpoint_ = nullptr;
  uint32_t attempts_ = 0;
  int64_t attempt_began_ns_ = 0;
  std::string replay_;  // request bytes so far, while the call may still be repeated
  bool replayable_ = true;

  int64_t began_ns_ = 0;
  int64_t deadline_ns_ = 0;  // 0: none
  std::string request_id_;
  std::string traceparent_;
  net::HeaderList reply_;  // reused for response heads and trailers
  bool client_ended_ = false;
  bool head_sent_ = false;
  bool concluded_ = false;
  size_t held_from_client_ = 0;    // bytes the client may not yet replace
  size_t held_from_upstream_ = 0;  // bytes the backend may not yet replace
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::string message_;
  net::MemberTimer<Stream, &Stream::OnDeadline> deadline_timer_{this};
  net::MemberTimer<Stream, &Stream::OnBackoff> backoff_timer_{this};
};

Method* GrpcProxy::Impl::FindMethod(std::string_view path) {
  const auto found = methods.find(net::AbslView(path));
  if (found != methods.end()) return found->second.get();
  const size_t slash = path.rfind('/');
  const bool well_formed = path.size() > 2 && path[0] == '/' && slash != 0 && slash != std::string_view::npos;
  UpstreamPool* pool = well_formed && options.route ? options.route(path) : nullptr;
  // Paths nobody serves come from outside without bound: they share one series, and are not worth remembering.
  if (pool == nullptr) return &unknown;
  const bool remember = methods.size() < options.max_remembered_paths;
  std::unique_ptr<Method>& method = remember ? methods[std::string(path)] : others[pool];
  if (method != nullptr) return method.get();
  method = std::make_unique<Method>();
  method->pool = pool;
  method->service = std::string(path.substr(1, slash - 1));
  method->name = remember ? std::string(path.substr(slash + 1)) : "other";
  method->idempotent = remember && options.idempotent && options.idempotent(path);
  method->seconds = &seconds.With({method->service, method->name});
  return method.get();
}

void GrpcProxy::Impl::Count(Method& method, absl::StatusCode code, int64_t latency_ns) {
  const size_t index = std::min<size_t>(static_cast<size_t>(code), 16);
  if (method.by_code[index] == nullptr) {
    method.by_code[index] = &requests.With({method.service, method.name, StatusCodeName(code)});
  }
  method.by_code[index]->Increment();
  if (method.seconds != nullptr) method.seconds->Observe(static_cast<double>(latency_ns) * 1e-9);
}

absl::Status GrpcProxy::Impl::Stream::Admit() {
  if (client_->method() != "POST") return absl::InvalidArgumentError("a gRPC call must be a POST request");
  if (method_->pool == nullptr) {
    return absl::UnimplementedError(absl::StrCat("unknown method ", net::AbslView(client_->path())));
  }
  if (impl_.options.authenticate) {
    absl::StatusOr<std::shared_ptr<Identity>> identity = impl_.options.authenticate(*client_);
    if (!identity.ok()) return identity.status();
    identity_ = *std::move(identity);
  } else {
    identity_ = impl_.anonymous;
  }
  const GcraDecision decision = identity_->request_limit.Take(1, began_ns_);
  if (!decision.allowed) {
    return WithRetryAfter(
        WithReason(absl::ResourceExhaustedError(absl::StrCat("more than ", identity_->request_limit.rate_per_second(),
                                                             " requests per second with this key")),
                   "RATE_LIMITED"),
        absl::Nanoseconds(std::max<int64_t>(decision.retry_after_ns, 1'000'000)));
  }
  if (!identity_->concurrency.TryAcquire()) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat("more than ", identity_->concurrency.limit(),
                                                                " calls in progress with this key")),
                      "CONCURRENCY_LIMITED");
  }
  holds_concurrency_ = true;
  if (impl_.options.authorize) return impl_.options.authorize(*client_, *identity_);
  return absl::OkStatus();
}

void GrpcProxy::Impl::Stream::Begin(net::ServerStream& client, Method& method) {
  client_ = &client;
  method_ = &method;
  began_ns_ = impl_.loop.now_ns();
  impl_.in_flight.Increment();
  AppendRandomId(impl_.loop, request_id_);

  absl::Duration timeout = impl_.options.default_timeout;
  const std::string_view timeout_text = client.headers().Get("grpc-timeout");
  absl::Status status;
  if (timeout_text.data() != nullptr) {
    if (const std::optional<absl::Duration> asked = net::ParseGrpcTimeout(timeout_text)) {
      timeout = std::min(*asked, impl_.options.max_timeout);
    } else {
      status =
          absl::InvalidArgumentError("grpc-timeout is malformed: 1 to 8 digits and one of H M S m u n are expected");
    }
  }
  if (status.ok()) status = Admit();
  if (!status.ok()) {
    Fail(status);
    return;
  }
  if (timeout != absl::InfiniteDuration()) {
    deadline_ns_ = began_ns_ + absl::ToInt64Nanoseconds(timeout);
    impl_.loop.timers().Arm(deadline_timer_, deadline_ns_);
  }
  const std::string_view traceparent = client.headers().Get("traceparent");
  if (LooksLikeTraceparent(traceparent)) {
    traceparent_.assign(traceparent);
  } else if (impl_.options.trace_ratio > 0 &&
             static_cast<double>(impl_.loop.Random() >> 11) * 0x1p-53 < impl_.options.trace_ratio) {
    AppendNewTraceparent(impl_.loop, traceparent_);
  }
  method.pool->retry_budget().OnRequest(began_ns_);
  Attempt();
}

void GrpcProxy::Impl::Stream::Attempt() {
  absl::StatusOr<Endpoint*> endpoint = method_->pool->Pick(failed_endpoint_);
  if (!endpoint.ok()) {
    Fail(endpoint.status());
    return;
  }
  ++attempts_;
  endpoint_ = *endpoint;
  attempt_began_ns_ = impl_.loop.now_ns();
  upstream_ = endpoint_->NewStream(this);
  net::HeaderList& head = upstream_->head();
  std::string_view content_type = client_->headers().Get("content-type");
  const UpstreamOptions& upstream = method_->pool->options();
  net::StartGrpcHead(client_->path(), upstream.name, content_type, head, upstream.tls != nullptr);
  for (const net::HeaderList::Field field : client_->headers()) {
    if (ForwardableRequestField(field.name)) head.AddLower(field.name, field.value, field.sensitive);
  }
  if (!identity_->tenant.empty()) head.AddLower("x-alcove-tenant", identity_->tenant);
  if (!identity_->criticality.empty()) head.AddLower("x-alcove-criticality", identity_->criticality);
  // Different for every call: kept out of the compression table, which they would only wash out.
  head.AddLower("x-alcove-request-id", request_id_, true);
  if (!traceparent_.empty()) head.AddLower("traceparent", traceparent_, true);
  if (deadline_ns_ != 0) {
    const int64_t left_ns = deadline_ns_ - impl_.loop.now_ns();
    // The default is the same text for every call until time is spent on a first attempt.
    const bool whole_default = left_ns == impl_.default_timeout_ns;
    head.AddLower("grpc-timeout",
                  whole_default ? impl_.default_timeout_text : net::FormatGrpcTimeout(absl::Nanoseconds(left_ns)),
                  !whole_default);
  }
  if (attempts_ > 1) head.AddLower("grpc-previous-rpc-attempts", std::to_string(attempts_ - 1));
  upstream_->Submit();
  if (!replay_.empty()) upstream_->SendData(replay_);
  if (client_ended_) upstream_->SendEnd();
}

void GrpcProxy::Impl::Stream::OnData(std::string_view bytes) {
  bytes_in_ += bytes.size();
  if (concluded_) {
    client_->Consume(bytes.size());
    return;
  }
  if (replayable_) {
    if (replay_.size() + bytes.size() <= impl_.options.replay_bytes || upstream_ == nullptr) {
      replay_.append(bytes);
    } else {
      replayable_ = false;
      replay_.clear();
    }
  }
  if (upstream_ == nullptr) {
    held_from_client_ += bytes.size();  // between two attempts: the window bounds what arrives
    return;
  }
  upstream_->SendData(bytes);
  if (upstream_->buffered() < kHighWater) {
    client_->Consume(bytes.size());
  } else {
    held_from_client_ += bytes.size();
  }
}

void GrpcProxy::Impl::Stream::OnEnd() {
  client_ended_ = true;
  if (upstream_ != nullptr) upstream_->SendEnd();
}

void GrpcProxy::Impl::Stream::OnRequestDrained() { client_->Consume(std::exchange(held_from_client_, 0)); }

void GrpcProxy::Impl::Stream::OnDrained() {
  if (upstream_ != nullptr) upstream_->Consume(std::exchange(held_from_upstream_, 0));
}

void GrpcProxy::Impl::Stream::OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) {
  if (concluded_) return;
  if (!end && http_status == 200) {
    replayable_ = false;
    replay_.clear();
    head_sent_ = true;
    client_->SendHeaders(200, Forwardable(headers), false);
    return;
  }
  // Trailers-Only, or an HTTP error of something that is no gRPC server.
  const absl::Status status = net::StatusFromGrpcTrailers(headers, http_status);
  const std::string_view pushback = headers.Get("grpc-retry-pushback-ms");
  AttemptOutcome outcome{.code = status.code()};
  if (pushback.data() != nullptr) outcome.pushback = pushback;
  if (status.code() == absl::StatusCode::kUnavailable) {
    net::ClientStream* stream = std::exchange(upstream_, nullptr);
    EndAttempt(CallResult::kFailure);
    stream->Reset(NGHTTP2_NO_ERROR);
    if (Retry(outcome)) return;
  }
  if (!end || !headers.Has("grpc-status")) {
    if (upstream_ != nullptr) std::exchange(upstream_, nullptr)->Reset(NGHTTP2_CANCEL);
    if (endpoint_ != nullptr) EndAttempt(CallResult::kSuccess);
    Fail(status);
    return;
  }
  head_sent_ = true;
  client_->SendHeaders(200, Forwardable(headers), true);
  Conclude(status.code(), net::StdView(status.message()));
}

void GrpcProxy::Impl::Stream::OnResponseData(std::string_view bytes) {
  if (concluded_) {
    upstream_->Consume(bytes.size());
    return;
  }
  bytes_out_ += bytes.size();
  client_->SendData(bytes);
  if (client_->buffered() < kHighWater) {
    upstream_->Consume(bytes.size());
  } else {
    held_from_upstream_ += bytes.size();
  }
}

void GrpcProxy::Impl::Stream::OnResponseTrailers(net::HeaderList& trailers) {
  if (concluded_) return;
  const std::string_view code_text = trailers.Get("grpc-status");
  if (code_text.data() == nullptr) return;  // the end of the stream tells
  const absl::StatusCode code = net::ParseGrpcStatus(code_text);
  client_->SendEnd(&Forwardable(trailers));
  Conclude(code, code == absl::StatusCode::kOk ? std::string_view() : trailers.Get("grpc-message"));
}

void GrpcProxy::Impl::Stream::OnResponseClose(const Close& close) {
  upstream_ = nullptr;
  if (concluded_) {
    if (endpoint_ != nullptr) {
      EndAttempt(code_ == absl::StatusCode::kUnavailable ? CallResult::kFailure : CallResult::kSuccess);
    }
    return;
  }
  const absl::Status status = net::StatusFromClose(close, method_->pool->options().name, endpoint_->address());
  // A stream refused for want of room is no failure of the endpoint.
  EndAttempt(close.unprocessed && !close.connection_lost ? CallResult::kAbandoned : CallResult::kFailure);
  if (Retry({.code = status.code(), .unprocessed = close.unprocessed, .response_started = head_sent_})) return;
  Fail(status);
}

bool GrpcProxy::Impl::Stream::Retry(const AttemptOutcome& outcome) {
  if (!replayable_) return false;
  const std::optional<absl::Duration> delay =
      NextAttemptDelay(method_->pool->options().retry, attempts_, method_->idempotent, outcome, impl_.loop.Random());
  if (!delay || !method_->pool->retry_budget().TryRetry(impl_.loop.now_ns())) return false;
  // At least a tick: the failure is being told from within the session it happened in.
  impl_.loop.timers().Arm(backoff_timer_, impl_.loop.now_ns() + absl::ToInt64Nanoseconds(*delay));
  return true;
}

void GrpcProxy::Impl::Stream::OnBackoff() {
  client_->Consume(std::exchange(held_from_client_, 0));
  Attempt();
}

void GrpcProxy::Impl::Stream::EndAttempt(CallResult result) {
  failed_endpoint_ = endpoint_;
  std::exchange(endpoint_, nullptr)->OnCallDone(result, impl_.loop.now_ns() - attempt_began_ns_);
}

void GrpcProxy::Impl::Stream::OnDeadline() {
  if (concluded_) return;
  impl_.loop.timers().Cancel(backoff_timer_);
  if (upstream_ != nullptr) {
    std::exchange(upstream_, nullptr)->Reset(NGHTTP2_CANCEL);
    EndAttempt(CallResult::kAbandoned);
  }
  Fail(absl::DeadlineExceededError("the deadline passed before the call finished"));
}

void GrpcProxy::Impl::Stream::Fail(const absl::Status& status) {
  reply_.Clear();
  if (head_sent_) {
    net::AppendGrpcTrailers(status, reply_);
    client_->SendEnd(&reply_);
  } else {
    reply_.AddLower("content-type", "application/grpc");
    net::AppendGrpcTrailers(status, reply_);
    head_sent_ = true;
    client_->SendHeaders(200, reply_, true);
  }
  Conclude(status.code(), net::StdView(status.message()));
}

void GrpcProxy::Impl::Stream::Conclude(absl::StatusCode code, std::string_view message) {
  concluded_ = true;
  code_ = code;
  message_.assign(message);
  replay_.clear();
  if (deadline_ns_ != 0) impl_.loop.timers().Cancel(deadline_timer_);
  if (held_from_client_ > 0) client_->Consume(std::exchange(held_from_client_, 0));
}

void GrpcProxy::Impl::Stream::OnClose(uint32_t) {
  if (!concluded_) {
    code_ = absl::StatusCode::kCancelled;
    message_ = "the client went away";
  }
  const std::string_view endpoint = endpoint_ != nullptr          ? std::string_view(endpoint_->address())
                                    : failed_endpoint_ != nullptr ? std::string_view(failed_endpoint_->address())
                                                                  : std::string_view();
  const int64_t latency_ns = impl_.loop.now_ns() - began_ns_;
  impl_.Count(*method_, code_, latency_ns);
  impl_.in_flight.Decrement();
  if (impl_.options.record) {
    impl_.options.record({.path = client_->path(),
                          .upstream = method_->pool != nullptr ? std::string_view(method_->pool->options().name) : "",
                          .endpoint = endpoint,
                          .identity = identity_.get(),
                          .request_id = request_id_,
                          .peer_address = client_->peer_address(),
                          .code = code_,
                          .message = message_,
                          .latency = absl::Nanoseconds(latency_ns),
                          .bytes_in = bytes_in_,
                          .bytes_out = bytes_out_,
                          .attempts = attempts_});
  }
  if (upstream_ != nullptr) std::exchange(upstream_, nullptr)->Reset(NGHTTP2_CANCEL);
  if (endpoint_ != nullptr) {
    EndAttempt(concluded_ && code_ != absl::StatusCode::kUnavailable ? CallResult::kSuccess : CallResult::kAbandoned);
  }
  if (holds_concurrency_) identity_->concurrency.Release();
  Recycle();
}

const net::HeaderList& GrpcProxy::Impl::Stream::Forwardable(const net::HeaderList& list) {
  bool clean = true;
  for (const net::HeaderList::Field field : list) clean = clean && ForwardableResponseField(field.name);
  if (clean) return list;
  reply_.Clear();
  for (const net::HeaderList::Field field : list) {
    if (ForwardableResponseField(field.name)) reply_.AddLower(field.name, field.value, field.sensitive);
  }
  return reply_;
}

void GrpcProxy::Impl::Stream::Recycle() {
  impl_.loop.timers().Cancel(deadline_timer_);
  impl_.loop.timers().Cancel(backoff_timer_);
  client_ = nullptr;
  method_ = nullptr;
  identity_.reset();
  failed_endpoint_ = nullptr;
  attempts_ = 0;
  constexpr size_t kKeep = 4096;
  if (replay_.capacity() > kKeep) replay_ = std::string();
  replay_.clear();
  replayable_ = true;
  deadline_ns_ = 0;
  request_id_.clear();
  traceparent_.clear();
  reply_.Clear();
  message_.clear();
  holds_concurrency_ = client_ended_ = head_sent_ = concluded_ = false;
  held_from_client_ = held_from_upstream_ = 0;
  bytes_in_ = bytes_out_ = 0;
  code_ = absl::StatusCode::kOk;
  if (impl_.free_streams.size() < kMaxFreeStreams) {
    impl_.free_streams.emplace_back(this);
  } else {
    delete this;
  }
}

GrpcProxy::GrpcProxy(net::Loop& loop, GrpcProxyOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(options))) {}

GrpcProxy::~GrpcProxy() = default;

net::StreamHandler* GrpcProxy::Accept(net::ServerStream& client) {
  Method* method = impl_->FindMethod(client.path());
  if (method->pool == nullptr && !impl_->options.reject_unknown) return nullptr;
  Impl::Stream* stream;
  if (impl_->free_streams.empty()) {
    stream = new Impl::Stream(*impl_);
  } else {
    stream = impl_->free_streams.back().release();
    impl_->free_streams.pop_back();
  }
  stream->Begin(client, *method);
  return stream;
}

}  // namespace alcove::gateway
