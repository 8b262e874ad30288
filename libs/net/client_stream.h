#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libs/net/header_list.h"
#include "libs/net/http2_core.h"

namespace alcove::net {

class Http2Client;

// Receives what a server answers on one stream. Callbacks come from the loop, in this order:
// headers → data* → trailers? → close. A Trailers-Only response is headers with `end`.
class ClientStreamHandler {
 public:
  virtual ~ClientStreamHandler() = default;
  // Final response head (1xx are skipped). `headers` may be moved from.
  virtual void OnResponseHeaders(int http_status, HeaderList& headers, bool end) = 0;
  // Each byte must be given back through ClientStream::Consume.
  virtual void OnResponseData(std::string_view bytes) = 0;
  virtual void OnResponseTrailers(HeaderList& trailers) = 0;
  virtual void OnRequestDrained() = 0;
  // The stream is gone and must not be touched again; exactly once, last. `unprocessed`: the server certainly ran
  // nothing (never connected, REFUSED_STREAM, beyond GOAWAY). `connection_lost`: no RST_STREAM but the connection's
  // end.
  struct Close {
    uint32_t error_code = 0;  // HTTP/2 error code; 0 after a complete exchange
    bool unprocessed = false;
    bool connection_lost = false;
    std::string_view reason;  // of a lost connection
  };
  virtual void OnResponseClose(const Close& close) = 0;
};

// One request stream to a server. Obtained from Http2Client::NewStream; recycled after OnResponseClose or Reset.
class ClientStream final : public Http2SendBuffer {
 public:
  // Fill head() with pseudo headers first, then:
  void Submit();
  void SendData(std::string_view bytes);
  void SendEnd();
  // Cancels (RST_STREAM) and lets go: no further callbacks, and the stream must not be touched again.
  void Reset(uint32_t error_code);
  void Consume(size_t bytes);
  using Http2SendBuffer::buffered;
  using Http2SendBuffer::head;

 private:
  friend class Http2Client;
  void OnSendDrained() override;

  Http2Client* client_ = nullptr;
  ClientStreamHandler* handler_ = nullptr;
  int32_t id_ = -1;
  uint64_t submitted_at_ = 0;  // Http2Client::produced_ at Submit
  int status_ = 0;
  bool head_received_ = false;
  HeaderList received_;
  size_t received_bytes_ = 0;
  size_t unconsumed_ = 0;
};

}  // namespace alcove::net
