#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/net/server_state.h"

namespace alcove::net {

// The server's side of one HTTP/1.x connection: one exchange at a time, pipelined requests in order.
//
// Refused, because proxies have been fooled by them: a missing or repeated Host, Transfer-Encoding other than
// `chunked`, Transfer-Encoding beside Content-Length or in HTTP/1.0, control bytes in the target.
class Http1Session final : public Protocol, public Drainable {
 public:
  explicit Http1Session(ServerState& state);
  ~Http1Session() override;

  void OnStart(Connection& connection) override;
  void OnBytes(std::string_view bytes) override;
  void Produce(std::string& out, size_t limit) override;
  bool Finished() const override;
  void OnTimeout() override;
  void OnClosed(const absl::Status& why) override;
  void BeginDrain() override;

 private:
  class Parser;
  class MessageExchange;

  void Process();
  bool Dispatch();
  // Hands the exchange to the application, once all of the request that is here already has been parsed: a response
  // given at once can then keep the connection.
  void Announce();
  void OnMessageEnd();
  void OnResponseEnd();
  void Refuse(int status, std::string_view title, std::string_view detail);
  void UpdateReading();
  void WantFlush();

  ServerState& state_;
  Connection* connection_ = nullptr;
  std::string in_;
  size_t in_offset_ = 0;
  std::string out_;
  std::unique_ptr<Parser> parser_;
  std::shared_ptr<MessageExchange> exchange_;
  bool announced_ = false;
  bool message_complete_ = false;  // of exchange_'s request
  bool close_ = false;             // after the response in progress
  bool processing_ = false;
  bool head_timer_ = false;
};

// The reason phrase of an HTTP status, "Unknown" for one without.
std::string_view ReasonPhrase(int status);

}  // namespace alcove::net
