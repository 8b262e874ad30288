// One gRPC call as the server's transport sees it: messages in, messages out, an end. Methods meet it through
// service.h; this header is for those and for what streams by hand.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/time/time.h>
#include <google/protobuf/message.h>

#include "libs/net/grpc_wire.h"
#include "libs/net/header_list.h"
#include "libs/net/loop.h"
#include "libs/net/server_stream.h"

namespace alcove::rpc {

// Calls that something still refers to. Any thread.
class CallCount {
 public:
  void Add() { open_.fetch_add(1, std::memory_order_relaxed); }
  void Subtract() {
    if (open_.fetch_sub(1, std::memory_order_acq_rel) == 1) open_.notify_all();
  }
  uint64_t Get() const { return open_.load(std::memory_order_acquire); }
  // Blocks until there is none.
  void WaitForNone() {
    for (uint64_t open = Get(); open > 0; open = Get()) open_.wait(open);
  }

 private:
  std::atomic<uint64_t> open_{0};
};

// What happens to a call. Everything is called on the call's loop, one after the other, and must not block.
class CallReactor {
 public:
  virtual ~CallReactor() = default;
  // The message Read() asked for; valid during the call.
  virtual void OnMessage(std::string_view bytes) = 0;
  // Instead of a message: the client has sent its last one, or the call is over.
  virtual void OnMessagesEnd() = 0;
  // There is room for the next Write(); false when the call is over.
  virtual void OnWritten(bool ok) = 0;
  // At most once, before Finish(): the client went away (CANCELLED), the deadline passed (DEADLINE_EXCEEDED), or what
  // the client sent is not acceptable.
  virtual void OnCancelled(absl::Status why) = 0;
  // Finish() has been carried out. The last call; it may delete the reactor.
  virtual void OnCallDone() = 0;
};

// Kept alive by the stream while that is open, by its reactor, and by work in progress.
//
// Thread safety: Read, Write, Reply and Finish from any thread; the head is constant. At most one Read and one Write
// may be waiting, and Finish comes last.
class ServerCall final : public net::StreamHandler, public std::enable_shared_from_this<ServerCall> {
 public:
  // `stream` has just arrived on `loop`, on whose thread this is called. Counts itself in `count` while it lives.
  ServerCall(net::Loop& loop, net::ServerStream& stream, size_t max_message_bytes, std::shared_ptr<CallCount> count);
  ~ServerCall() override;

  // The first value of a request header, by its lower-case name; empty when absent.
  std::string_view Metadata(std::string_view name) const { return headers_.Get(name); }
  // InfiniteFuture without one.
  absl::Time deadline() const { return deadline_; }
  const std::string& peer() const { return peer_; }
  net::Loop& loop() const { return loop_; }

  // On the loop: `reactor` takes over. Until then the reactor's operations wait.
  void Begin(CallReactor& reactor);
  // On the loop: ends a call nobody takes.
  void Refuse(const absl::Status& status);
  // On the loop: the client gets `status` at once and the reactor is told as of a cancellation; its Finish is still
  // due.
  void Fail(const absl::Status& status);
  // Lets a message live as long as the call.
  void Keep(std::unique_ptr<google::protobuf::Message> message) { kept_ = std::move(message); }

  // Asks for the next message: OnMessage or OnMessagesEnd follows. Flow control holds the client back while nobody
  // asks.
  void Read();
  // Sends a message, framed by Frame(); OnWritten follows.
  void Write(std::string framed);
  // Ends the call. An error after messages travels in the trailers.
  void Finish(absl::Status status);
  // Write and Finish(OK) in one, without OnWritten.
  void Reply(std::string framed);

  // The message with its length prefix.
  static std::string Frame(const google::protobuf::MessageLite& message);

  // From the stream.
  void OnData(std::string_view bytes) override;
  void OnEnd() override;
  void OnDrained() override;
  void OnClose(uint32_t error_code) override;

 private:
  // Runs f on the loop later, even when called there: no reaction happens inside an operation.
  template <typename F>
  void Later(F f);
  void Pump();
  void DoWrite(const std::string& framed);
  void DoFinish(const absl::Status& status);
  void SendStatus(const absl::Status& status);
  void SendHead();
  void EndOperations(bool write_ok);
  void Cancelled(absl::Status why);
  void OnDeadline();

  net::Loop& loop_;
  const std::shared_ptr<CallCount> count_;
  net::HeaderList headers_;
  std::string peer_;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::unique_ptr<google::protobuf::Message> kept_;

  // The loop's own.
  net::ServerStream* stream_;
  std::shared_ptr<ServerCall> self_;  // while the stream is open
  CallReactor* reactor_ = nullptr;
  net::GrpcMessageReader reader_;
  size_t held_ = 0;  // bytes received and not yet given back to flow control
  bool input_ended_ = false;
  bool read_waits_ = false;
  bool write_waits_ = false;
  bool pumping_ = false;
  bool head_sent_ = false;
  bool cancelled_ = false;
  bool status_sent_ = false;
  net::MemberTimer<ServerCall, &ServerCall::OnDeadline> deadline_timer_{this};
};

}  // namespace alcove::rpc
