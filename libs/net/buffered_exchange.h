#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libs/net/exchange.h"
#include "libs/net/loop.h"
#include "libs/net/server.h"
#include "libs/net/waiter.h"

namespace alcove::net {

// The half of an exchange that does not depend on the protocol: the request body waits here until the application reads
// it, and a writer waits here for room. Sessions derive from it and supply the wire.
class BufferedExchange : public Exchange {
 public:
  asio::awaitable<absl::StatusOr<std::string>> ReadBody(size_t limit) final;
  asio::awaitable<absl::StatusOr<std::optional<std::string>>> ReadChunk() final;
  void Respond(HttpResponse response) final;
  void StartResponse(int status, HeaderList headers) final;
  asio::awaitable<absl::Status> Write(std::string chunk) final;
  void Finish(HeaderList trailers) final;
  void Abort() final;

  // What the application gets: its last reference going away completes the response (invariant 3 of Exchange).
  static std::shared_ptr<Exchange> ForApplication(std::shared_ptr<BufferedExchange> exchange);

 protected:
  BufferedExchange(Loop* loop, HttpRequest request, const NetLimits& limits);

  // From the session.
  void DeliverBody(std::string_view bytes);
  void DeliverEnd();
  void Disconnect();  // the client is gone
  void NotifyDrained() { writable_.Notify(); }
  bool body_ended() const { return body_ended_; }
  size_t body_waiting() const { return body_.size(); }
  // Nobody will read the rest of the body; it may be dropped as it comes.
  bool discarding() const { return discarding_; }
  bool response_finished() const { return response_finished_; }

  // To the session. Not called after Disconnect.
  virtual void OnBodyWanted() = 0;             // the application waits for the body: `100 Continue` may be due
  virtual void OnBodyTaken(size_t bytes) = 0;  // these bytes left memory
  virtual void SendHead(int status, HeaderList& headers, std::optional<size_t> body_length, bool end) = 0;
  virtual void SendBytes(std::string_view bytes) = 0;
  virtual void SendEnd(HeaderList& trailers) = 0;
  virtual void SendAbort() = 0;
  virtual size_t BytesBuffered() const = 0;

 private:
  asio::awaitable<void> WaitForBody();
  std::string TakeBody();
  void Discard();
  void OnApplicationGone();
  void OnBodyTimer();

  const absl::Duration body_idle_timeout_;
  const size_t max_body_bytes_;
  std::string body_;
  uint64_t body_received_ = 0;
  absl::Status body_error_;
  bool body_ended_ = false;
  bool discarding_ = false;
  bool response_finished_ = false;
  Waiter readable_;
  Waiter writable_;
  MemberTimer<BufferedExchange, &BufferedExchange::OnBodyTimer> body_timer_{this};
};

}  // namespace alcove::net
