#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/net/client_stream.h"

namespace alcove::net {

struct Http2ClientOptions {
  uint32_t stream_window = 1u << 20;             // receive window per stream, bytes
  uint32_t connection_window = 16u << 20;        // of the connection
  absl::Duration keepalive = absl::Seconds(20);  // PING when calls wait and nothing comes; no answer within it closes
};

// One HTTP/2 client connection to a server, many streams. It exists before its TCP connection does: requests wait in
// the session and leave when the connection is up, or fail together as unprocessed.
//
// Thread safety: the loop's own thread.
class Http2Client final : public Http2Core {
 public:
  // What the owner is told; outlives the client or is detached.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnClientConnected(Http2Client* client) = 0;
    // GOAWAY or exhausted stream ids: no new streams here, those in flight finish.
    virtual void OnClientDraining(Http2Client* client) = 0;
    virtual void OnClientGone(Http2Client* client, const absl::Status& why) = 0;
  };
  Http2Client(Loop& loop, Owner* owner, const Http2ClientOptions& options);
  ~Http2Client() override;

  ClientStream* NewStream(ClientStreamHandler* handler);
  void DetachOwner() { owner_ = nullptr; }
  bool connected() const { return connection_ != nullptr; }
  bool draining() const { return draining_; }
  // Whether the server has sent anything: it speaks HTTP/2, and TLS where that is asked for.
  bool heard() const { return heard_; }
  size_t open_streams() const { return streams_.size(); }
  // Lets open streams finish, then closes.
  void BeginDrain();

  // Ends every stream now, as OnClosed does; for an owner that is being destroyed.
  void Abandon(const absl::Status& why);

  void OnStart(Connection& connection) override;
  void OnBytes(std::string_view bytes) override;
  void Produce(std::string& out, size_t limit) override;
  bool Finished() const override;
  void OnTimeout() override;
  void OnClosed(const absl::Status& why) override;

 private:
  friend class ClientStream;
  static const nghttp2_session_callbacks* Callbacks();
  static Http2Client* Self(void* user_data) { return static_cast<Http2Client*>(static_cast<Http2Core*>(user_data)); }
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_length,
                      const uint8_t* value, size_t value_length, uint8_t flags, void* user_data);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnData(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data, size_t length, void* user_data);
  static int OnStreamClosed(nghttp2_session*, int32_t id, uint32_t error_code, void* user_data);

  ClientStream* Find(int32_t id);
  void Submit(ClientStream* stream);
  void Release(ClientStream* stream);
  void Fail(ClientStream* stream, const ClientStreamHandler::Close& close);

  Loop& loop_;
  Owner* owner_;
  const Http2ClientOptions options_;
  ClientStream* head_stream_ = nullptr;
  ClientStream* last_stream_ = nullptr;  // found last: callbacks come in runs for one stream
  absl::flat_hash_set<ClientStream*> streams_;
  std::vector<std::unique_ptr<ClientStream>> free_streams_;
  int64_t last_received_ns_ = 0;
  uint64_t produced_ = 0;  // calls of Produce: what was submitted since the last one has certainly not been sent
  bool names_seeded_ = false;
  bool ever_connected_ = false;
  bool heard_ = false;
  bool ping_outstanding_ = false;
  bool draining_ = false;
  bool broken_ = false;
};

}  // namespace alcove::net
