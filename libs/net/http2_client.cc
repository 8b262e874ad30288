#include "libs/net/http2_client.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include <boost/asio/post.hpp>

#include "libs/net/http2_memory.h"
#include "libs/net/views.h"

namespace alcove::net {
namespace {

constexpr size_t kMaxFreeStreams = 1024;
constexpr size_t kMaxResponseHeaderBytes = 256 * 1024;
// Streams a new connection may open before the server's SETTINGS arrive.
constexpr uint32_t kInitialMaxStreams = 1000;

}  // namespace

void ClientStream::Submit() { client_->Submit(this); }

void ClientStream::SendData(std::string_view bytes) {
  Append(bytes);
  client_->Resume(id_, this);
}

void ClientStream::SendEnd() {
  End();
  client_->Resume(id_, this);
}

void ClientStream::Reset(uint32_t error_code) {
  handler_ = nullptr;
  Http2Client* client = client_;
  if (id_ < 0 || client->broken_) {
    client->Release(this);
    return;
  }
  nghttp2_submit_rst_stream(client->session_, NGHTTP2_FLAG_NONE, id_, error_code);
  client->WantFlush();
}

void ClientStream::Consume(size_t bytes) {
  if (bytes == 0 || client_->broken_) return;
  unconsumed_ -= std::min(bytes, unconsumed_);
  nghttp2_session_consume(client_->session_, id_, bytes);
  client_->WantFlush();
}

void ClientStream::OnSendDrained() {
  if (handler_ != nullptr) handler_->OnRequestDrained();
}

Http2Client::Http2Client(Loop& loop, Owner* owner, const Http2ClientOptions& options)
    : loop_(loop), owner_(owner), options_(options) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  // Servers are the suite's own; what they send is checked where it is used, not field by field.
  nghttp2_option_set_no_http_messaging(option, 1);
  nghttp2_option_set_peer_max_concurrent_streams(option, kInitialMaxStreams);
  nghttp2_session_client_new3(&session_, Callbacks(), static_cast<Http2Core*>(this), option, Http2Memory());
  nghttp2_option_del(option);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64 * 1024},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options.connection_window));
}

Http2Client::~Http2Client() {
  owner_ = nullptr;
  if (!streams_.empty()) OnClosed(absl::CancelledError("the client ended"));
  nghttp2_session_del(session_);
  session_ = nullptr;
}

const nghttp2_session_callbacks* Http2Client::Callbacks() {
  static const nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    SetSendCallbacks(c);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, &Http2Client::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(c, &Http2Client::OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, &Http2Client::OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, &Http2Client::OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, &Http2Client::OnStreamClosed);
    return c;
  }();
  return callbacks;
}

ClientStream* Http2Client::NewStream(ClientStreamHandler* handler) {
  ClientStream* stream;
  if (free_streams_.empty()) {
    stream = new ClientStream;
  } else {
    stream = free_streams_.back().release();
    free_streams_.pop_back();
  }
  stream->client_ = this;
  stream->handler_ = handler;
  streams_.insert(stream);
  return stream;
}

void Http2Client::Submit(ClientStream* stream) {
  nva_.clear();
  AppendFields(stream->head(), nva_);
  // Fields that differ per call stay out of the compression table, but for the first call: then later ones can refer to
  // their names there instead of spelling them out.
  if (!names_seeded_) {
    names_seeded_ = true;
    for (nghttp2_nv& nv : nva_) nv.flags &= static_cast<uint8_t>(~NGHTTP2_NV_FLAG_NO_INDEX);
  }
  const nghttp2_data_provider provider = Provider(stream);
  const int32_t id = broken_ ? NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE
                             : nghttp2_submit_request(session_, nullptr, nva_.data(), nva_.size(), &provider, stream);
  if (id >= 0) {
    stream->id_ = id;
    stream->submitted_at_ = produced_;
    WantFlush();
    return;
  }
  // Out of stream ids, or past GOAWAY: this connection takes no more. Told from a later handler, so that the caller
  // sees the same order as with any other failure.
  if (!draining_) {
    draining_ = true;
    if (owner_ != nullptr) owner_->OnClientDraining(this);
  }
  if (connection_ != nullptr) {
    asio::post(loop_.io(), [this, stream, keep = connection_->shared_from_this()] {
      if (streams_.contains(stream) && stream->id_ < 0) {
        Fail(stream, {.error_code = NGHTTP2_REFUSED_STREAM, .unprocessed = true, .reason = "connection is closing"});
      }
    });
  }
}

void Http2Client::Fail(ClientStream* stream, const ClientStreamHandler::Close& close) {
  if (ClientStreamHandler* handler = std::exchange(stream->handler_, nullptr)) handler->OnResponseClose(close);
  Release(stream);
}

void Http2Client::Release(ClientStream* stream) {
  if (streams_.erase(stream) == 0) return;
  if (head_stream_ == stream) head_stream_ = nullptr;
  if (last_stream_ == stream) last_stream_ = nullptr;
  stream->ResetSendBuffer();
  stream->received_.Clear();
  stream->handler_ = nullptr;
  stream->id_ = -1;
  stream->status_ = 0;
  stream->head_received_ = false;
  stream->received_bytes_ = stream->unconsumed_ = 0;
  if (free_streams_.size() < kMaxFreeStreams) {
    free_streams_.emplace_back(stream);
  } else {
    delete stream;
  }
  if (draining_ && streams_.empty()) WantFlush();  // Finished() is asked at the end of a flush
}

void Http2Client::BeginDrain() {
  if (draining_) return;
  draining_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  WantFlush();
}

void Http2Client::OnStart(Connection& connection) {
  connection_ = &connection;
  ever_connected_ = true;
  last_received_ns_ = loop_.now_ns();
  connection.SetTimeout(options_.keepalive);
  if (owner_ != nullptr) owner_->OnClientConnected(this);
}

void Http2Client::OnBytes(std::string_view bytes) {
  if (broken_) return;
  last_received_ns_ = loop_.now_ns();
  heard_ = true;
  ping_outstanding_ = false;
  if (!Receive(bytes)) broken_ = true;
  WantFlush();
}

bool Http2Client::Finished() const {
  if (broken_ || (draining_ && streams_.empty())) return true;
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void Http2Client::OnTimeout() {
  const absl::Duration quiet = absl::Nanoseconds(Loop::NowNs() - last_received_ns_);
  if (quiet < options_.keepalive) {
    connection_->SetTimeout(options_.keepalive - quiet);
    return;
  }
  if (ping_outstanding_) {
    connection_->Close(absl::UnavailableError("the server does not answer keepalive pings"));
    return;
  }
  // An idle connection needs no proof of life, and some servers refuse pings without calls.
  if (!streams_.empty()) {
    ping_outstanding_ = true;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    WantFlush();
  }
  connection_->SetTimeout(options_.keepalive);
}

void Http2Client::Produce(std::string& out, size_t limit) {
  ++produced_;
  Http2Core::Produce(out, limit);
}

void Http2Client::OnClosed(const absl::Status& why) {
  connection_ = nullptr;
  Abandon(why);
}

void Http2Client::Abandon(const absl::Status& why) {
  broken_ = true;
  const std::string reason(StdView(why.message()));
  const std::vector<ClientStream*> open(streams_.begin(), streams_.end());
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->OnClientGone(this, why);
  for (ClientStream* stream : open) {
    if (!streams_.contains(stream)) continue;  // reset by the handler of another
    if (stream->id_ >= 0) nghttp2_session_set_stream_user_data(session_, stream->id_, nullptr);
    Fail(stream, {.error_code = NGHTTP2_CANCEL,
                  .unprocessed = !ever_connected_ || stream->submitted_at_ == produced_,
                  .connection_lost = true,
                  .reason = reason});
  }
}

ClientStream* Http2Client::Find(int32_t id) {
  if (last_stream_ != nullptr && last_stream_->id_ == id) return last_stream_;
  last_stream_ = static_cast<ClientStream*>(nghttp2_session_get_stream_user_data(session_, id));
  return last_stream_;
}

int Http2Client::OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
  Http2Client* self = Self(user_data);
  self->head_stream_ = self->Find(frame->hd.stream_id);
  if (self->head_stream_ != nullptr) self->head_stream_->received_.Clear();
  return 0;
}

int Http2Client::OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_length,
                          const uint8_t* value, size_t value_length, uint8_t, void* user_data) {
  ClientStream* stream = Self(user_data)->head_stream_;
  if (stream == nullptr || stream->id_ != frame->hd.stream_id) return 0;
  stream->received_bytes_ += name_length + value_length;
  if (stream->received_bytes_ > kMaxResponseHeaderBytes) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::string_view n(reinterpret_cast<const char*>(name), name_length);
  const std::string_view v(reinterpret_cast<const char*>(value), value_length);
  if (n == ":status") {
    std::from_chars(v.data(), v.data() + v.size(), stream->status_);
  } else if (!n.empty() && n[0] != ':') {
    stream->received_.AddLower(n, v);
  }
  return 0;
}

int Http2Client::OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
  Http2Client* self = Self(user_data);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS: {
      ClientStream* stream = std::exchange(self->head_stream_, nullptr);
      if (stream == nullptr || stream->handler_ == nullptr) return 0;
      const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (stream->head_received_) {
        stream->handler_->OnResponseTrailers(stream->received_);
      } else if (stream->status_ >= 200) {
        stream->head_received_ = true;
        stream->handler_->OnResponseHeaders(stream->status_, stream->received_, end);
      }
      return 0;
    }
    case NGHTTP2_GOAWAY:
      if (!self->draining_) {
        self->draining_ = true;
        if (self->owner_ != nullptr) self->owner_->OnClientDraining(self);
      }
      return 0;
    default: return 0;
  }
}

int Http2Client::OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t length,
                        void* user_data) {
  ClientStream* stream = Self(user_data)->Find(id);
  if (stream == nullptr || stream->handler_ == nullptr) {
    nghttp2_session_consume_connection(session, length);
    return 0;
  }
  stream->unconsumed_ += length;
  stream->handler_->OnResponseData(std::string_view(reinterpret_cast<const char*>(data), length));
  return 0;
}

int Http2Client::OnStreamClosed(nghttp2_session* session, int32_t id, uint32_t error_code, void* user_data) {
  Http2Client* self = Self(user_data);
  ClientStream* stream = self->Find(id);
  if (stream == nullptr) return 0;
  if (stream->unconsumed_ > 0) nghttp2_session_consume_connection(session, stream->unconsumed_);
  self->Fail(stream, {.error_code = error_code, .unprocessed = error_code == NGHTTP2_REFUSED_STREAM});
  return 0;
}

}  // namespace alcove::net
