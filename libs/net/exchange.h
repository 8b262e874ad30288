#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/common/request_context.h"
#include "libs/net/header_list.h"

namespace alcove {
namespace asio = boost::asio;
}

namespace alcove::net {

class Loop;

enum class HttpVersion : uint8_t { kHttp10, kHttp11, kHttp2 };

struct TlsInfo {
  std::string protocol;      // "TLSv1.3"
  std::string peer_subject;  // verified client certificate's subject, empty without one
};

// The head of one request. `headers` holds no HTTP/2 pseudo headers: they are the fields below; `host` is `:authority`
// or `host`.
struct HttpRequest {
  std::string method;  // upper case, as sent
  std::string target;  // as sent: path, then `?query` when there is one
  std::string host;
  HeaderList headers;
  HttpVersion version = HttpVersion::kHttp11;
  std::string peer_address;            // "ip:port"
  std::shared_ptr<const TlsInfo> tls;  // null on a cleartext connection

  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }  // percent-encoded
  // The part after `?`, still encoded; empty when there is none.
  std::string_view query() const;
};

struct HttpResponse {
  int status = 200;
  HeaderList headers;  // content-length is set by the server; connection headers are its own business
  std::string body;
};

// One request and its response, whatever the protocol. The server creates it, hands it to Handler::OnExchange and keeps
// it alive until both directions are finished; the application may keep its shared_ptr as long as it likes.
//
// Invariants
//  1. Exactly one response: Respond once, or StartResponse, Write…, Finish. A call out of that order is ignored and
//     answers FAILED_PRECONDITION where it has a status to answer with.
//  2. After cancelled() turns true every awaitable returns CANCELLED at once and every other call is a no-op.
//  3. An exchange whose last application reference goes away without a complete response is answered 500 (or reset, if
//     the response had begun).
//
// Thread safety: none. Everything is called on the loop that owns the connection (executor()); work done on another
// thread comes back with asio::post(executor(), …).
class Exchange {
 public:
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const { return request_; }
  // Tenant, deadline, trace and cancellation of this request. Begins without tenant, with a fresh request id, the trace
  // of a valid `traceparent` or a new one, no deadline, and a cancellation that fires with cancelled().
  const RequestContext& context() const { return context_; }
  // Replaces it once more is known (tenant, deadline). Derive it from context(), so that its cancellation stays.
  void SetContext(RequestContext context) { context_ = std::move(context); }
  asio::any_io_executor executor() const;
  Loop& loop() const { return *loop_; }

  // The rest of the request body in one string. RESOURCE_EXHAUSTED as soon as it is known to pass `limit` bytes (the
  // rest is discarded), CANCELLED when the client went away. Sends `100 Continue` first when the client waits for it.
  virtual asio::awaitable<absl::StatusOr<std::string>> ReadBody(size_t limit) = 0;
  // The next piece of the body, never empty; nullopt at its end.
  virtual asio::awaitable<absl::StatusOr<std::optional<std::string>>> ReadChunk() = 0;

  // The whole response. Returns at once; bytes leave at the end of the loop's turn.
  virtual void Respond(HttpResponse response) = 0;

  // A streaming response: head now, then any number of chunks. Without content-length HTTP/1.1 uses chunked coding.
  virtual void StartResponse(int status, HeaderList headers) = 0;
  // Completes when the chunk is accepted and less than kMaxBufferedBytes wait to be sent, so that a slow reader slows
  // the writer. An empty chunk waits for room only.
  virtual asio::awaitable<absl::Status> Write(std::string chunk) = 0;
  // Ends the response. Trailers reach HTTP/2 clients and are dropped on HTTP/1.
  virtual void Finish(HeaderList trailers = {}) = 0;
  // Gives up in the middle of a response: RST_STREAM, or closes an HTTP/1 connection, so that the client cannot take
  // the part for the whole.
  virtual void Abort() = 0;

  // True once the client reset the stream or closed the connection, or the server's drain deadline passed.
  bool cancelled() const { return cancelled_; }
  bool response_started() const { return response_started_; }
  int response_status() const { return response_status_; }
  uint64_t response_bytes() const { return response_bytes_; }
  // Called once when the exchange becomes cancelled (at once if it already is). Several may be added.
  void OnCancel(std::function<void()> callback);
  // Called once when the response is complete or the exchange is cancelled: the place for access records. Several may
  // be added.
  void OnDone(std::function<void(const Exchange&)> callback);

  // Bytes of one response that may wait in memory before Write blocks.
  static constexpr size_t kMaxBufferedBytes = 256 * 1024;

 protected:
  Exchange(Loop* loop, HttpRequest request);
  void MarkCancelled();
  void MarkDone();

  Loop* loop_;
  HttpRequest request_;
  CancellationSource cancellation_;
  RequestContext context_;
  bool cancelled_ = false;
  bool done_ = false;
  bool response_started_ = false;
  int response_status_ = 0;
  uint64_t response_bytes_ = 0;

 private:
  std::vector<std::function<void()>> on_cancel_;
  std::vector<std::function<void(const Exchange&)>> on_done_;
};

class ServerStream;
class StreamHandler;

// The application: one object per loop, called on that loop only.
class Handler {
 public:
  virtual ~Handler() = default;

  // A request arrived (its head; the body may still be on its way). Must not block: it spawns a coroutine on
  // exchange->executor(), or responds at once.
  virtual void OnExchange(std::shared_ptr<Exchange> exchange) = 0;

  // The fast path: called for each HTTP/2 request whose content-type begins with application/grpc, before an exchange
  // exists. Returns the object that takes the stream over (upstream/grpc_proxy.h has the one that forwards), or null to
  // have it arrive at OnExchange. See net/server_stream.h for the contract between the two.
  virtual StreamHandler* OnGrpcStream(ServerStream& stream) { return nullptr; }
};

}  // namespace alcove::net
