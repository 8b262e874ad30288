#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/net/server_state.h"

namespace alcove::net {

// The first protocol of every connection: tells HTTP/2 from HTTP/1 by ALPN or by the first bytes (the client preface of
// RFC 9113, 3.4), then passes everything on to the session it made.
class FrontProtocol final : public Protocol {
 public:
  explicit FrontProtocol(ServerState& state) : state_(state) {}

  void OnStart(Connection& connection) override;
  void OnBytes(std::string_view bytes) override;
  void Produce(std::string& out, size_t limit) override;
  bool Finished() const override;
  void OnTimeout() override;
  void OnClosed(const absl::Status& why) override;
  void BeginDrain();

 private:
  void Choose(bool http2);

  ServerState& state_;
  Connection* connection_ = nullptr;
  std::string first_;
  std::unique_ptr<Protocol> session_;
  Drainable* drainable_ = nullptr;
  bool finished_ = false;
};

}  // namespace alcove::net
