#include "libs/net/buffered_exchange.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace alcove::net {
namespace {

absl::Status Gone() { return absl::CancelledError("the client went away"); }

absl::Status BodyTooLarge(size_t limit) {
  return absl::ResourceExhaustedError(absl::StrCat("the request body is larger than the limit of ", limit, " bytes"));
}

}  // namespace

BufferedExchange::BufferedExchange(Loop* loop, HttpRequest request, const NetLimits& limits)
    : Exchange(loop, std::move(request)),
      body_idle_timeout_(limits.body_idle_timeout),
      max_body_bytes_(limits.max_body_bytes),
      readable_(loop->executor()),
      writable_(loop->executor()) {}

std::shared_ptr<Exchange> BufferedExchange::ForApplication(std::shared_ptr<BufferedExchange> exchange) {
  BufferedExchange* raw = exchange.get();
  return std::shared_ptr<Exchange>(raw, [exchange = std::move(exchange)](Exchange*) mutable {
    exchange->OnApplicationGone();
    exchange.reset();
  });
}

void BufferedExchange::OnApplicationGone() {
  if (cancelled_ || response_finished_) return;
  if (response_started_) {
    Abort();
    return;
  }
  HttpResponse response;
  response.status = 500;
  response.headers.AddLower("content-type", "application/problem+json");
  response.body = R"({"title":"Internal Server Error","status":500,"detail":"the request was dropped unanswered"})";
  Respond(std::move(response));
}

void BufferedExchange::DeliverBody(std::string_view bytes) {
  body_received_ += bytes.size();
  if (body_received_ > max_body_bytes_ && !discarding_) {
    body_error_ = BodyTooLarge(max_body_bytes_);
    Discard();
  }
  if (discarding_) {
    OnBodyTaken(bytes.size());
    return;
  }
  body_.append(bytes);
  readable_.Notify();
}

void BufferedExchange::DeliverEnd() {
  body_ended_ = true;
  readable_.Notify();
}

void BufferedExchange::Disconnect() {
  loop_->timers().Cancel(body_timer_);
  MarkCancelled();
  readable_.Notify();
  writable_.Notify();
}

void BufferedExchange::Discard() {
  discarding_ = true;
  const size_t n = body_.size();
  body_.clear();
  if (n > 0 && !cancelled_) OnBodyTaken(n);
  readable_.Notify();
}

std::string BufferedExchange::TakeBody() {
  std::string taken = std::exchange(body_, std::string());
  if (!taken.empty() && !cancelled_) OnBodyTaken(taken.size());
  return taken;
}

void BufferedExchange::OnBodyTimer() {
  body_error_ = absl::DeadlineExceededError("the request body did not arrive in time");
  Discard();
}

asio::awaitable<void> BufferedExchange::WaitForBody() {
  OnBodyWanted();
  loop_->timers().Arm(body_timer_, Loop::NowNs() + absl::ToInt64Nanoseconds(body_idle_timeout_));
  co_await readable_.Wait();
  loop_->timers().Cancel(body_timer_);
}

asio::awaitable<absl::StatusOr<std::string>> BufferedExchange::ReadBody(size_t limit) {
  std::string whole;
  uint64_t announced = 0;
  const std::string_view length = request_.headers.Get("content-length");
  if (length.data() != nullptr && absl::SimpleAtoi(absl::string_view(length.data(), length.size()), &announced) &&
      announced > limit) {
    Discard();
    co_return BodyTooLarge(limit);
  }
  for (;;) {
    if (cancelled_) co_return Gone();
    if (!body_error_.ok()) co_return body_error_;
    if (!body_.empty()) {
      if (whole.size() + body_.size() > limit) {
        Discard();
        co_return BodyTooLarge(limit);
      }
      if (whole.empty()) {
        whole = TakeBody();
      } else {
        whole.append(TakeBody());
      }
    }
    if (body_ended_) co_return whole;
    co_await WaitForBody();
  }
}

asio::awaitable<absl::StatusOr<std::optional<std::string>>> BufferedExchange::ReadChunk() {
  for (;;) {
    if (cancelled_) co_return Gone();
    if (!body_error_.ok()) co_return body_error_;
    if (!body_.empty()) co_return std::optional<std::string>(TakeBody());
    if (body_ended_) co_return std::nullopt;
    co_await WaitForBody();
  }
}

void BufferedExchange::Respond(HttpResponse response) {
  if (cancelled_ || response_started_) return;
  response_started_ = true;
  response_status_ = response.status;
  response_bytes_ = response.body.size();
  response_finished_ = true;
  const bool empty = response.body.empty();
  SendHead(response.status, response.headers, response.body.size(), empty);
  if (!empty) {
    SendBytes(response.body);
    HeaderList none;
    SendEnd(none);
  }
  if (!body_ended_) Discard();
  MarkDone();
}

void BufferedExchange::StartResponse(int status, HeaderList headers) {
  if (cancelled_ || response_started_) return;
  response_started_ = true;
  response_status_ = status;
  SendHead(status, headers, std::nullopt, false);
}

asio::awaitable<absl::Status> BufferedExchange::Write(std::string chunk) {
  if (cancelled_) co_return Gone();
  if (!response_started_ || response_finished_) co_return absl::FailedPreconditionError("no response is open");
  if (!chunk.empty()) {
    response_bytes_ += chunk.size();
    SendBytes(chunk);
  }
  while (!cancelled_ && BytesBuffered() >= kMaxBufferedBytes) co_await writable_.Wait();
  co_return cancelled_ ? Gone() : absl::OkStatus();
}

void BufferedExchange::Finish(HeaderList trailers) {
  if (cancelled_ || !response_started_ || response_finished_) return;
  response_finished_ = true;
  SendEnd(trailers);
  if (!body_ended_) Discard();
  MarkDone();
}

void BufferedExchange::Abort() {
  if (cancelled_ || response_finished_) return;
  response_finished_ = true;
  SendAbort();
  MarkDone();
}

}  // namespace alcove::net
