#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libs/net/header_list.h"
#include "libs/net/http2_core.h"

namespace alcove::gateway {

class Http2Client;

// Receives what a backend answers on one stream. Callbacks come from the loop, in this order:
// headers → data* → trailers? → close. A Trailers-Only response is headers with `end`.
class UpstreamHandler {
 public:
  virtual ~UpstreamHandler() = default;
  // Final response head (1xx are skipped). `headers` may be moved from.
  virtual void OnUpstreamHeaders(int http_status, net::HeaderList& headers, bool end) = 0;
  // Each byte must be given back through UpstreamStream::Consume.
  virtual void OnUpstreamData(std::string_view bytes) = 0;
  virtual void OnUpstreamTrailers(net::HeaderList& trailers) = 0;
  virtual void OnUpstreamDrained() = 0;
  // The stream is gone and must not be touched again; exactly once, last. `unprocessed`: the backend certainly ran
  // nothing (never connected, REFUSED_STREAM, beyond GOAWAY). `connection_lost`: no RST_STREAM but the connection's
  // end.
  struct Close {
    uint32_t error_code = 0;  // HTTP/2 error code; 0 after a complete exchange
    bool unprocessed = false;
    bool connection_lost = false;
    std::string_view reason;  // of a lost connection
  };
  virtual void OnUpstreamClose(const Close& close) = 0;
};

// One request stream to a backend. Obtained from Endpoint::NewStream; recycled after OnUpstreamClose or Reset.
class UpstreamStream final : public net::Http2SendBuffer {
 public:
  // Fill head() with pseudo headers first, then:
  void Submit();
  void SendData(std::string_view bytes);
  void SendEnd();
  // Cancels (RST_STREAM) and lets go: no further callbacks, and the stream must not be touched again.
  void Reset(uint32_t error_code);
  void Consume(size_t bytes);
  using net::Http2SendBuffer::buffered;
  using net::Http2SendBuffer::head;

 private:
  friend class Http2Client;
  void OnSendDrained() override;

  Http2Client* client_ = nullptr;
  UpstreamHandler* handler_ = nullptr;
  int32_t id_ = -1;
  uint64_t submitted_at_ = 0;  // Http2Client::produced_ at Submit
  int status_ = 0;
  bool head_received_ = false;
  net::HeaderList received_;
  size_t received_bytes_ = 0;
  size_t unconsumed_ = 0;
};

}  // namespace alcove::gateway
