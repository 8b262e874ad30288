#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "libs/net/connection.h"
#include "libs/net/header_list.h"

namespace alcove::net {

// The sending half of one HTTP/2 stream, the same for both roles: bytes wait here until flow control and the socket
// take them. Header lists live here too, because nghttp2 refers to their bytes until the frame has left.
class Http2SendBuffer {
 public:
  // Whether bytes are waiting, or an end that was not sent.
  size_t buffered() const { return out_.size() - offset_; }
  void Append(std::string_view bytes);
  void End() { ended_ = true; }
  HeaderList& head() { return head_; }
  HeaderList& trailers() { return trailers_; }
  void set_has_trailers() { has_trailers_ = true; }
  bool ended() const { return ended_; }

 protected:
  Http2SendBuffer() = default;
  virtual ~Http2SendBuffer() = default;
  void ResetSendBuffer();
  // buffered() fell to half the high-water mark after having been above it.
  virtual void OnSendDrained() = 0;

 private:
  friend class Http2Core;
  HeaderList head_;
  HeaderList trailers_;
  std::string out_;
  size_t offset_ = 0;
  bool ended_ = false;
  bool has_trailers_ = false;
  bool deferred_ = false;
  bool above_high_water_ = false;
};

// What the server and the client session share: one nghttp2 session, its output, and streams' data.
class Http2Core : public Protocol {
 public:
  void Produce(std::string& out, size_t limit) override;

 protected:
  Http2Core() = default;
  ~Http2Core() override;
  Http2Core(const Http2Core&) = delete;
  Http2Core& operator=(const Http2Core&) = delete;

  // Sets the callbacks this class serves.
  static void SetSendCallbacks(nghttp2_session_callbacks* callbacks);
  // Feeds nghttp2. False when the session is beyond repair; what it wants to say (GOAWAY) is still to be flushed.
  bool Receive(std::string_view bytes);

  nghttp2_data_provider Provider(Http2SendBuffer* stream) const;
  // More bytes, or the end, were added to `stream`.
  void Resume(int32_t id, Http2SendBuffer* stream);
  void WantFlush() {
    if (connection_ != nullptr) connection_->WantFlush();
  }
  // Fills `nva` with fields that point into `list`, which must live until the frame has been sent.
  static void AppendFields(const HeaderList& list, std::vector<nghttp2_nv>& nva);
  static nghttp2_nv Field(std::string_view name, std::string_view value, bool sensitive = false);

  nghttp2_session* session_ = nullptr;
  Connection* connection_ = nullptr;
  std::vector<nghttp2_nv> nva_;  // reused

 private:
  static ssize_t ReadData(nghttp2_session* session, int32_t id, uint8_t* buf, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void* user_data);
  static int SendData(nghttp2_session* session, nghttp2_frame* frame, const uint8_t* framehd, size_t length,
                      nghttp2_data_source* source, void* user_data);

  std::string* produce_ = nullptr;
  size_t produce_limit_ = 0;
};

}  // namespace alcove::net
