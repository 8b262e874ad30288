#include "libs/rpc/server_call.h"

#include <optional>
#include <utility>

#include <absl/time/clock.h>

#include "libs/rpc/status.h"

namespace alcove::rpc {

ServerCall::ServerCall(net::Loop& loop, net::ServerStream& stream, size_t max_message_bytes,
                       std::shared_ptr<CallCount> count)
    : loop_(loop),
      count_(std::move(count)),
      headers_(stream.headers()),
      peer_(stream.peer_address()),
      stream_(&stream),
      reader_(max_message_bytes) {
  count_->Add();
  const std::string_view timeout = headers_.Get("grpc-timeout");
  if (timeout.empty()) return;
  if (const std::optional<absl::Duration> left = net::ParseGrpcTimeout(timeout)) {
    deadline_ = absl::Now() + *left;
    // Beyond a day the wheel need not turn for it.
    if (*left < absl::Hours(24)) {
      loop_.timers().Arm(deadline_timer_, net::Loop::NowNs() + absl::ToInt64Nanoseconds(*left));
    }
  }
}

ServerCall::~ServerCall() { count_->Subtract(); }

template <typename F>
void ServerCall::Later(F f) {
  loop_.Post([self = shared_from_this(), f = std::move(f)]() mutable { f(*self); });
}

void ServerCall::Begin(CallReactor& reactor) {
  self_ = shared_from_this();
  reactor_ = &reactor;
}

void ServerCall::Refuse(const absl::Status& status) {
  self_ = shared_from_this();
  DoFinish(status);
}

void ServerCall::Read() {
  Later([](ServerCall& call) {
    if (call.reactor_ == nullptr) return;
    call.read_waits_ = true;
    call.Pump();
  });
}

void ServerCall::Write(std::string framed) {
  Later([framed = std::move(framed)](ServerCall& call) {
    if (call.reactor_ == nullptr) return;
    if (call.stream_ == nullptr || call.status_sent_) return call.reactor_->OnWritten(false);
    call.DoWrite(framed);
    if (call.stream_->buffered() < net::StreamHandler::kStreamHighWater) return call.reactor_->OnWritten(true);
    call.write_waits_ = true;
  });
}

void ServerCall::Finish(absl::Status status) {
  Later([status = std::move(status)](ServerCall& call) { call.DoFinish(status); });
}

void ServerCall::Reply(std::string framed) {
  Later([framed = std::move(framed)](ServerCall& call) {
    if (call.stream_ != nullptr && !call.status_sent_) call.DoWrite(framed);
    call.DoFinish(absl::OkStatus());
  });
}

std::string ServerCall::Frame(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  std::string framed(net::kGrpcPrefixBytes + size, '\0');
  net::WriteGrpcPrefix(size, framed.data());
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(framed.data() + net::kGrpcPrefixBytes));
  return framed;
}

void ServerCall::SendHead() {
  if (std::exchange(head_sent_, true)) return;
  net::HeaderList head;
  head.AddLower("content-type", "application/grpc");
  stream_->SendHeaders(200, head, /*end_stream=*/false);
}

void ServerCall::DoWrite(const std::string& framed) {
  SendHead();
  stream_->SendData(framed);
}

void ServerCall::SendStatus(const absl::Status& status) {
  if (std::exchange(status_sent_, true)) return;
  loop_.timers().Cancel(deadline_timer_);
  if (stream_ == nullptr) return;
  if (held_ > 0) stream_->Consume(std::exchange(held_, 0));
  net::HeaderList end;
  if (!head_sent_) end.AddLower("content-type", "application/grpc");
  net::AppendGrpcTrailers(FitForWire(status), end);
  if (head_sent_) {
    stream_->SendEnd(&end);
  } else {
    stream_->SendHeaders(200, end, /*end_stream=*/true);
  }
}

void ServerCall::DoFinish(const absl::Status& status) {
  SendStatus(status);
  if (reactor_ == nullptr) return;
  EndOperations(/*write_ok=*/true);
  std::exchange(reactor_, nullptr)->OnCallDone();
}

void ServerCall::Fail(const absl::Status& status) {
  SendStatus(status);
  Cancelled(status);
  if (reactor_ != nullptr) EndOperations(/*write_ok=*/false);
}

// What still waits is answered: nothing will come of it.
void ServerCall::EndOperations(bool write_ok) {
  if (std::exchange(read_waits_, false)) reactor_->OnMessagesEnd();
  if (std::exchange(write_waits_, false)) reactor_->OnWritten(write_ok);
}

void ServerCall::Pump() {
  // A reaction may ask for the next message; the loop below sees to it.
  if (std::exchange(pumping_, true)) return;
  while (read_waits_ && reactor_ != nullptr) {
    if (stream_ != nullptr && held_ > 0) stream_->Consume(std::exchange(held_, 0));
    const absl::StatusOr<std::optional<std::string_view>> next = reader_.NextView();
    if (!next.ok()) {
      Fail(next.status());
    } else if (next->has_value()) {
      read_waits_ = false;
      reactor_->OnMessage(**next);
      reader_.Shrink();
    } else if (input_ended_ || stream_ == nullptr || status_sent_) {
      read_waits_ = false;
      reactor_->OnMessagesEnd();
    } else {
      break;
    }
  }
  pumping_ = false;
}

void ServerCall::OnData(std::string_view bytes) {
  if (status_sent_) return stream_->Consume(bytes.size());
  reader_.Append(bytes);
  held_ += bytes.size();
  Pump();
}

void ServerCall::OnEnd() {
  input_ended_ = true;
  Pump();
}

void ServerCall::OnDrained() {
  if (reactor_ != nullptr && std::exchange(write_waits_, false)) reactor_->OnWritten(true);
}

void ServerCall::Cancelled(absl::Status why) {
  if (reactor_ == nullptr || std::exchange(cancelled_, true)) return;
  reactor_->OnCancelled(std::move(why));
}

void ServerCall::OnClose(uint32_t) {
  const std::shared_ptr<ServerCall> keep = std::move(self_);
  stream_ = nullptr;
  loop_.timers().Cancel(deadline_timer_);
  if (reactor_ == nullptr) return;
  Cancelled(absl::CancelledError("the client gave up the call"));
  if (reactor_ != nullptr) EndOperations(/*write_ok=*/false);
}

void ServerCall::OnDeadline() { Cancelled(absl::DeadlineExceededError("the deadline passed")); }

}  // namespace alcove::rpc
