#include "services/gateway/upstream/grpc_client.h"

#include <deque>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/trace.h"
#include "libs/net/grpc_call.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/views.h"
#include "libs/net/waiter.h"
#include "services/gateway/upstream/endpoint.h"

namespace alcove::gateway {
namespace {

// Bytes of unread messages beyond which the backend is held back, and of unsent ones beyond which Write waits.
constexpr size_t kMaxQueuedBytes = 256 * 1024;

// One attempt at a call. Lives on the loop; the coroutine that uses it owns it.
class Call final : public GrpcCall, public net::ClientStreamHandler {
 public:
  Call(UpstreamPool& pool, RequestContext context, std::string method, const CallOptions& options)
      : pool_(pool),
        loop_(pool.loop()),
        context_(std::move(context)),
        method_(std::move(method)),
        options_(options),
        reader_(pool.options().max_message_bytes),
        readable_(pool.loop().executor()),
        writable_(pool.loop().executor()) {}
  ~Call() override {
    cancel_registration_.Reset();
    *alive_ = false;
    Drop();
  }

  // Picks an endpoint and sends the head.
  absl::Status Begin(const Endpoint* exclude, uint32_t previous_attempts) {
    const absl::Duration timeout = std::min(options_.timeout, context_.Remaining());
    if (timeout <= absl::ZeroDuration())
      return absl::DeadlineExceededError("the deadline passed before the call began");
    if (context_.cancellation().cancelled()) return context_.cancellation().status();
    absl::StatusOr<Endpoint*> endpoint = pool_.Pick(exclude, options_.affinity_key);
    if (!endpoint.ok()) return endpoint.status();
    endpoint_ = *endpoint;
    last_endpoint_ = endpoint_;
    began_ns_ = loop_.now_ns();
    stream_ = endpoint_->NewStream(this);
    net::HeaderList& head = stream_->head();
    net::StartGrpcHead(method_, pool_.options().name, "application/grpc", head, pool_.options().tls != nullptr);
    for (const net::HeaderList::Field field : options_.metadata)
      head.AddLower(field.name, field.value, field.sensitive);
    if (!context_.tenant().empty()) head.AddLower("x-alcove-tenant", context_.tenant());
    head.AddLower("x-alcove-criticality", net::StdView(CriticalityName(context_.criticality())));
    head.AddLower("x-alcove-request-id", context_.request_id(), true);
    if (context_.trace().valid()) {
      head.AddLower("traceparent", FormatTraceparent(context_.trace()), true);
      if (!context_.trace().state.empty()) head.AddLower("tracestate", context_.trace().state);
    }
    if (timeout != absl::InfiniteDuration()) {
      head.AddLower("grpc-timeout", net::FormatGrpcTimeout(timeout), true);
      loop_.timers().Arm(deadline_timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(timeout));
    }
    if (previous_attempts > 0) head.AddLower("grpc-previous-rpc-attempts", std::to_string(previous_attempts));
    stream_->Submit();
    if (context_.cancellation().can_be_cancelled()) {
      // Whoever cancels may be on another thread; the call is touched on its own loop only.
      cancel_registration_ = context_.cancellation().OnCancel([this, alive = alive_, &loop = loop_] {
        loop.Post([this, alive] {
          if (*alive) Cancel();
        });
      });
    }
    return absl::OkStatus();
  }

  // Queues one message without waiting for room.
  void Send(std::string_view message) {
    std::string frame;
    net::AppendGrpcMessage(message, frame);
    if (stream_ != nullptr) stream_->SendData(frame);
  }

  asio::awaitable<absl::Status> Write(std::string message) override {
    if (!ended_) Send(message);
    while (!ended_ && stream_ != nullptr && stream_->buffered() >= kMaxQueuedBytes) co_await writable_.Wait();
    if (!ended_) co_return absl::OkStatus();
    co_return final_.ok() ? absl::FailedPreconditionError("the call has ended") : final_;
  }

  void WritesDone() override {
    if (stream_ != nullptr && !ended_) stream_->SendEnd();
  }

  asio::awaitable<absl::StatusOr<std::optional<std::string>>> Read() override {
    for (;;) {
      if (!messages_.empty()) {
        std::optional<std::string> message(std::move(messages_.front()));
        messages_.pop_front();
        queued_bytes_ -= message->size();
        if (stream_ != nullptr && queued_bytes_ < kMaxQueuedBytes / 2) stream_->Consume(std::exchange(held_, 0));
        co_return message;
      }
      if (ended_) {
        if (final_.ok()) co_return std::nullopt;
        co_return final_;
      }
      co_await readable_.Wait();
    }
  }

  void Cancel() override { Finish(absl::CancelledError("the call was cancelled"), CallResult::kAbandoned); }
  const net::HeaderList& headers() const override { return headers_; }
  const net::HeaderList& trailers() const override { return trailers_; }

  // For the decision to try again.
  const AttemptOutcome& outcome() const { return outcome_; }
  const Endpoint* last_endpoint() const { return last_endpoint_; }

 private:
  void OnResponseHeaders(int http_status, net::HeaderList& headers, bool end) override {
    if (end || http_status != 200) {
      trailers_ = headers;
      SetStatus(net::StatusFromGrpcTrailers(headers, http_status));
      if (!end) Finish(status_, CallResult::kSuccess);
      return;
    }
    outcome_.response_started = true;
    headers_ = headers;
  }
  void OnResponseData(std::string_view bytes) override {
    reader_.Append(bytes);
    for (;;) {
      absl::StatusOr<std::optional<std::string>> message = reader_.Next();
      if (!message.ok()) {
        stream_->Consume(bytes.size());
        Finish(message.status(), CallResult::kSuccess);
        return;
      }
      if (!message->has_value()) break;
      queued_bytes_ += (*message)->size();
      messages_.push_back(**std::move(message));
      readable_.Notify();
    }
    if (queued_bytes_ < kMaxQueuedBytes) {
      stream_->Consume(bytes.size());
    } else {
      held_ += bytes.size();
    }
  }
  void OnResponseTrailers(net::HeaderList& trailers) override {
    trailers_ = trailers;
    SetStatus(net::StatusFromGrpcTrailers(trailers, 200));
  }
  void OnRequestDrained() override { writable_.Notify(); }
  void OnResponseClose(const Close& close) override {
    stream_ = nullptr;
    if (!has_status_) {
      outcome_.unprocessed = close.unprocessed;
      SetStatus(net::StatusFromClose(close, pool_.options().name, endpoint_->address()));
      Finish(status_, close.unprocessed && !close.connection_lost ? CallResult::kAbandoned : CallResult::kFailure);
      return;
    }
    if (status_.ok() && !reader_.AtBoundary()) status_ = absl::InternalError("the backend ended inside a message");
    Finish(status_, status_.code() == absl::StatusCode::kUnavailable ? CallResult::kFailure : CallResult::kSuccess);
  }

  void SetStatus(absl::Status status) {
    has_status_ = true;
    status_ = std::move(status);
    outcome_.code = status_.code();
    pushback_ = std::string(trailers_.Get("grpc-retry-pushback-ms"));
    if (trailers_.Has("grpc-retry-pushback-ms")) outcome_.pushback = pushback_;
  }
  void OnDeadline() {
    Finish(absl::DeadlineExceededError(
               absl::StrCat(pool_.options().name, " did not answer ", method_, " before the deadline")),
           CallResult::kAbandoned);
  }
  void Finish(absl::Status status, CallResult result) {
    if (ended_) return;
    ended_ = true;
    final_ = std::move(status);
    outcome_.code = final_.code();
    result_ = result;
    Drop();
    readable_.Notify();
    writable_.Notify();
  }
  void Drop() {
    loop_.timers().Cancel(deadline_timer_);
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(NGHTTP2_CANCEL);
    if (endpoint_ != nullptr) std::exchange(endpoint_, nullptr)->OnCallDone(result_, loop_.now_ns() - began_ns_);
  }

  UpstreamPool& pool_;
  net::Loop& loop_;
  const RequestContext context_;
  const std::string method_;
  const CallOptions options_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  CancellationRegistration cancel_registration_;
  net::ClientStream* stream_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  const Endpoint* last_endpoint_ = nullptr;
  int64_t began_ns_ = 0;
  net::GrpcMessageReader reader_;
  std::deque<std::string> messages_;
  size_t queued_bytes_ = 0;
  size_t held_ = 0;
  net::HeaderList headers_;
  net::HeaderList trailers_;
  std::string pushback_;
  AttemptOutcome outcome_;
  CallResult result_ = CallResult::kAbandoned;
  bool has_status_ = false;
  absl::Status status_;  // as the backend gave it
  bool ended_ = false;
  absl::Status final_;  // as the caller sees it
  net::Waiter readable_;
  net::Waiter writable_;
  net::MemberTimer<Call, &Call::OnDeadline> deadline_timer_{this};
};

absl::Status UnknownService(std::string_view service) {
  return absl::NotFoundError(absl::StrCat("no upstream is named \"", net::AbslView(service), "\""));
}

}  // namespace

asio::awaitable<absl::StatusOr<std::string>> GrpcClient::Unary(RequestContext context, std::string service,
                                                               std::string method, std::string request,
                                                               CallOptions options) {
  UpstreamPool* pool = upstreams_.Find(service);
  if (pool == nullptr) co_return UnknownService(service);
  net::Loop& loop = pool->loop();
  pool->retry_budget().OnRequest(loop.now_ns());
  const Endpoint* exclude = nullptr;
  for (uint32_t attempt = 1;; ++attempt) {
    Call call(*pool, context, method, options);
    const absl::Status begun = call.Begin(exclude, attempt - 1);
    if (!begun.ok()) co_return begun;
    call.Send(request);
    call.WritesDone();
    absl::StatusOr<std::optional<std::string>> reply = co_await call.Read();
    if (reply.ok() && reply->has_value()) {
      // The status follows the message.
      absl::StatusOr<std::optional<std::string>> end = co_await call.Read();
      if (!end.ok()) co_return end.status();
      if (end->has_value()) co_return absl::InternalError("a unary call was answered with more than one message");
      co_return **std::move(reply);
    }
    if (reply.ok()) co_return absl::InternalError("a unary call was answered without a message");
    const std::optional<absl::Duration> delay =
        NextAttemptDelay(pool->options().retry, attempt, options.idempotent, call.outcome(), loop.Random());
    if (!delay || !pool->retry_budget().TryRetry(loop.now_ns()) || *delay >= context.Remaining()) {
      co_return reply.status();
    }
    exclude = call.last_endpoint();
    if (*delay > absl::ZeroDuration()) {
      asio::steady_timer timer(loop.io(), absl::ToChronoNanoseconds(*delay));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }
}

asio::awaitable<absl::StatusOr<std::unique_ptr<GrpcCall>>> GrpcClient::Open(RequestContext context, std::string service,
                                                                            std::string method, CallOptions options) {
  UpstreamPool* pool = upstreams_.Find(service);
  if (pool == nullptr) co_return UnknownService(service);
  pool->retry_budget().OnRequest(pool->loop().now_ns());
  auto call = std::make_unique<Call>(*pool, std::move(context), std::move(method), options);
  const absl::Status begun = call->Begin(nullptr, 0);
  if (!begun.ok()) co_return begun;
  co_return std::unique_ptr<GrpcCall>(std::move(call));
}

}  // namespace alcove::gateway
