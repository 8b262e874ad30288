#include "libs/net/exchange.h"

#include <utility>

#include "libs/common/trace.h"
#include "libs/net/loop.h"

namespace alcove::net {

std::string_view HttpRequest::query() const {
  const size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

Exchange::Exchange(Loop* loop, HttpRequest request) : loop_(loop), request_(std::move(request)) {
  RequestContext::Identity identity;
  identity.request_id = NewRequestId();
  const std::string_view traceparent = request_.headers.Get("traceparent");
  std::optional<TraceContext> trace;
  if (!traceparent.empty()) trace = ParseTraceparent(absl::string_view(traceparent.data(), traceparent.size()));
  if (trace) {
    const std::string_view state = request_.headers.Get("tracestate");
    trace->state = SanitizeTracestate(absl::string_view(state.data(), state.size()));
    identity.trace = ChildSpan(*trace);
  } else {
    identity.trace = NewTrace();
  }
  context_ = RequestContext(std::move(identity), absl::InfiniteFuture(), cancellation_.token());
}

asio::any_io_executor Exchange::executor() const { return loop_->executor(); }

void Exchange::OnCancel(std::function<void()> callback) {
  if (cancelled_) {
    callback();
  } else if (!done_) {
    on_cancel_.push_back(std::move(callback));
  }
}

void Exchange::OnDone(std::function<void(const Exchange&)> callback) {
  if (done_) {
    callback(*this);
  } else {
    on_done_.push_back(std::move(callback));
  }
}

void Exchange::MarkCancelled() {
  if (cancelled_) return;
  cancelled_ = true;
  cancellation_.Cancel(absl::CancelledError("the client went away"));
  for (auto& callback : std::exchange(on_cancel_, {})) callback();
  MarkDone();
}

void Exchange::MarkDone() {
  if (done_) return;
  done_ = true;
  for (auto& callback : std::exchange(on_done_, {})) callback(*this);
  on_cancel_.clear();
}

}  // namespace alcove::net
