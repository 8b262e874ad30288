#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "libs/common/gcra.h"
#include "libs/net/http2_core.h"
#include "libs/net/server_state.h"

namespace alcove::net {

// The server's side of one HTTP/2 connection. Turns streams into exchanges, or hands them to the gRPC fast path.
//
// Abuse is answered with GOAWAY: more resets, PINGs, SETTINGS, PRIORITY or empty DATA frames than NetLimits allows, and
// whatever nghttp2 itself refuses (CONTINUATION floods, HPACK errors, window overflow, frames out of place).
class Http2Session final : public Http2Core, public Drainable {
 public:
  explicit Http2Session(ServerState& state);
  ~Http2Session() override;

  void OnStart(Connection& connection) override;
  void OnBytes(std::string_view bytes) override;
  bool Finished() const override;
  void OnTimeout() override;
  void OnClosed(const absl::Status& why) override;
  void BeginDrain() override;

  size_t open_streams() const { return streams_.size(); }

 private:
  class Stream;
  class StreamExchange;

  static const nghttp2_session_callbacks* Callbacks();
  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_length,
                      const uint8_t* value, size_t value_length, uint8_t flags, void* user_data);
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnData(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data, size_t length, void* user_data);
  static int OnStreamClosed(nghttp2_session*, int32_t id, uint32_t error_code, void* user_data);
  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data);
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int error, void* user_data);

  Stream* FindStream(int32_t id);
  void Dispatch(Stream& stream);
  void CountControlFrame();
  void Release(Stream* stream);

  ServerState& state_;
  Stream* head_stream_ = nullptr;  // whose header block is arriving
  Stream* last_stream_ = nullptr;  // found last: callbacks come in runs for one stream
  absl::flat_hash_set<Stream*> streams_;
  std::vector<std::unique_ptr<Stream>> free_streams_;
  Gcra control_frames_;
  int64_t last_activity_ns_ = 0;
  bool head_timer_ = false;
  bool broken_ = false;
  int drain_stage_ = 0;
};

}  // namespace alcove::net
