// Unary gRPC calls to one other process, on loops that this process runs anyway (service_main.h's). The answer comes on
// the loop the call was made on, so a server that asks another one wakes no thread for it; grpc++'s channels
// (channel.h) have threads of their own, and are for everything else.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/message_lite.h>

#include "libs/common/request_context.h"
#include "libs/net/loop_threads.h"
#include "libs/net/tls.h"
#include "libs/rpc/credentials.h"

namespace alcove::rpc {

struct ClientOptions {
  uint64_t max_message_bytes = uint64_t{72} << 20;
  absl::Duration connect_timeout = absl::Seconds(2);  // for each address of the name
  // A connection with calls in flight and no traffic is probed this often, and given up when a probe is not answered
  // within as long again.
  absl::Duration keepalive = absl::Seconds(30);
  // Pauses between failed attempts to connect grow from the first to the second, with jitter.
  absl::Duration reconnect_backoff = absl::Milliseconds(50);
  absl::Duration max_reconnect_backoff = absl::Seconds(3);
  TlsFiles tls;
};

// One connection for each loop, made when a call needs it. A call that certainly did not reach a method (the server was
// closing the connection) is made once more on a new one; nothing else is repeated.
//
// Thread safety: Call and Reconnect from any thread, none of them once the destructor has begun. Close and the
// destructor of a client that is not closed wait for the loops, so neither may run on one.
class Client {
 public:
  // `address` is host:port, an IPv6 address in brackets. INVALID_ARGUMENT when it is not, or when a TLS file cannot be
  // used. The loops outlive the client.
  static absl::StatusOr<std::unique_ptr<Client>> Make(const net::LoopThreads& loops, const std::string& address,
                                                      ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  struct CallOptions {
    // Wait for a connection until the deadline. Without it a call fails at once while the server cannot be reached.
    bool wait_for_ready = false;
  };
  // The reply's bytes, valid during the call, or how the call failed, with details: UNAVAILABLE when the server cannot
  // be reached or went away, DEADLINE_EXCEEDED and CANCELLED as the context says, RESOURCE_EXHAUSTED for a reply that
  // is too long, else what the method answered. Runs once, on a loop, always after Call() has returned; must not block.
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string_view> reply)>;
  // `method` is "/package.Service/Method" and outlives the call. The context travels as context.h says, and calls the
  // call off when it is cancelled or its deadline passes.
  void Call(const RequestContext& ctx, std::string_view method, const google::protobuf::MessageLite& request, Done done,
            CallOptions options);
  void Call(const RequestContext& ctx, std::string_view method, const google::protobuf::MessageLite& request,
            Done done) {
    Call(ctx, method, request, std::move(done), {});
  }

  // Ends calls in flight as CANCELLED; when it returns their answers have come. Later calls end the same way.
  void Close();
  // Lets the next call try to connect at once, whatever failed before.
  void Reconnect();
  const std::string& address() const { return address_; }

 private:
  class Line;
  class Pending;
  Client(const net::LoopThreads& loops, std::string address, ClientOptions options);

  const net::LoopThreads& loops_;
  const std::string address_;
  const ClientOptions options_;
  std::string host_;
  std::shared_ptr<asio::ssl::context> tls_;
  std::vector<std::shared_ptr<Line>> lines_;  // one for each loop
  std::atomic<size_t> next_line_{0};          // for calls from other threads
  std::atomic<bool> closed_{false};
};

}  // namespace alcove::rpc
