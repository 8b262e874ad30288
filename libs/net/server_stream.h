#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libs/net/header_list.h"

namespace alcove::net {

class Loop;
class StreamHandler;
struct TlsInfo;

// One HTTP/2 server stream, for code that handles it by callbacks instead of coroutines. Valid from OnGrpcStream until
// StreamHandler::OnClose returns. Nothing here allocates per call in steady state; bytes leave at the end of the turn.
// Thread safety: the owning loop only.
class ServerStream {
 public:
  virtual ~ServerStream() = default;

  virtual Loop& loop() const = 0;
  virtual std::string_view method() const = 0;
  virtual std::string_view path() const = 0;  // `:path` as sent
  virtual std::string_view authority() const = 0;
  virtual std::string_view peer_address() const = 0;  // "ip:port"
  virtual const TlsInfo* tls() const = 0;             // null on cleartext
  virtual const HeaderList& headers() const = 0;      // lower-case names, no pseudo headers

  // Response head; `end_stream` makes it a Trailers-Only response. At most once.
  virtual void SendHeaders(int status, const HeaderList& headers, bool end_stream) = 0;
  // Queues response bytes. Unbounded: the caller watches buffered() and waits for OnDrained.
  virtual void SendData(std::string_view bytes) = 0;
  // Ends the response after what is queued: with trailers, or with a bare END_STREAM when null.
  virtual void SendEnd(const HeaderList* trailers) = 0;
  // RST_STREAM with an HTTP/2 error code. OnClose follows, later in this turn.
  virtual void Reset(uint32_t error_code) = 0;
  // Request bytes handed to OnData that have now left memory: opens the flow-control window again.
  virtual void Consume(size_t bytes) = 0;
  // Response bytes queued and not yet written to the connection.
  virtual size_t buffered() const = 0;
};

// What takes a stream over. The stream owns nothing of it: the handler deletes or recycles itself in OnClose, which is
// called exactly once and last.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // A piece of request body; valid during the call. Each byte must be given back through ServerStream::Consume.
  virtual void OnData(std::string_view bytes) = 0;
  // The client finished its half (END_STREAM); trailers are ignored.
  virtual void OnEnd() = 0;
  // buffered() fell below half of kStreamHighWater after having been above it.
  virtual void OnDrained() = 0;
  // The stream is gone: complete (error_code 0), reset by either side, or its connection closed.
  virtual void OnClose(uint32_t error_code) = 0;

  static constexpr size_t kStreamHighWater = 256 * 1024;
};

}  // namespace alcove::net
