#include "libs/net/http2_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "libs/net/buffered_exchange.h"
#include "libs/net/http2_memory.h"
#include "libs/net/server_stream.h"

namespace alcove::net {
namespace {

constexpr size_t kMaxFreeStreams = 256;
// Between the GOAWAY that announces the end and the one that fixes the last stream: longer than a round trip, so that
// requests already on their way are served (RFC 9113, 6.8).
constexpr absl::Duration kDrainNotice = absl::Milliseconds(100);
// What HPACK adds to each field when sizes are compared with SETTINGS_MAX_HEADER_LIST_SIZE (RFC 7541, 4.1).
constexpr size_t kFieldOverhead = 32;

bool ConnectionSpecific(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" || name == "transfer-encoding" ||
         name == "upgrade";
}

}  // namespace

class Http2Session::Stream final : public ServerStream, public Http2SendBuffer {
 public:
  void Open(Http2Session* session, int32_t id) {
    session_ = session;
    id_ = id;
  }
  void Recycle() {
    ResetSendBuffer();
    method_.clear();
    path_.clear();
    authority_.clear();
    headers_.Clear();
    header_bytes_ = 0;
    unconsumed_ = 0;
    handler_ = nullptr;
    exchange_.reset();
    session_ = nullptr;
    too_large_ = dispatched_ = request_ended_ = head_sent_ = false;
  }

  Loop& loop() const override { return session_->state_.loop; }
  std::string_view method() const override { return method_; }
  std::string_view path() const override { return path_; }
  std::string_view authority() const override { return authority_; }
  std::string_view peer_address() const override {
    return session_->connection_ != nullptr ? std::string_view(session_->connection_->peer_address()) : "";
  }
  const TlsInfo* tls() const override { return nullptr; }
  const HeaderList& headers() const override { return headers_; }

  void SendHeaders(int status, const HeaderList& headers, bool end_stream) override {
    if (head_sent_) return;
    head() = headers;
    SubmitHead(status, end_stream);
  }
  // As SendHeaders, with the list already in head().
  void SubmitHead(int status, bool end_stream) {
    head_sent_ = true;
    char* const end = std::to_chars(status_text_.data(), status_text_.data() + status_text_.size(), status).ptr;
    std::vector<nghttp2_nv>& nva = session_->nva_;
    nva.clear();
    nva.push_back(Field(":status", std::string_view(status_text_.data(), end - status_text_.data())));
    for (const HeaderList::Field field : head()) {
      if (!ConnectionSpecific(field.name)) nva.push_back(Field(field.name, field.value, field.sensitive));
    }
    if (end_stream) {
      nghttp2_submit_response(session_->session_, id_, nva.data(), nva.size(), nullptr);
    } else {
      const nghttp2_data_provider provider = session_->Provider(this);
      nghttp2_submit_response(session_->session_, id_, nva.data(), nva.size(), &provider);
    }
    session_->WantFlush();
  }
  void SendData(std::string_view bytes) override {
    Append(bytes);
    session_->Resume(id_, this);
  }
  void SendEnd(const HeaderList* list) override {
    if (list != nullptr && !list->empty()) {
      trailers() = *list;
      set_has_trailers();
    }
    End();
    session_->Resume(id_, this);
  }
  void Reset(uint32_t error_code) override {
    nghttp2_submit_rst_stream(session_->session_, NGHTTP2_FLAG_NONE, id_, error_code);
    session_->WantFlush();
  }
  void Consume(size_t bytes) override {
    if (bytes == 0) return;
    unconsumed_ -= std::min(bytes, unconsumed_);
    nghttp2_session_consume(session_->session_, id_, bytes);
    session_->WantFlush();
  }
  size_t buffered() const override { return Http2SendBuffer::buffered(); }
  void OnSendDrained() override {
    if (handler_ != nullptr) handler_->OnDrained();
  }

  static nghttp2_nv Field(std::string_view name, std::string_view value, bool sensitive = false) {
    return Http2Core::Field(name, value, sensitive);
  }

  Http2Session* session_ = nullptr;
  int32_t id_ = 0;
  StreamHandler* handler_ = nullptr;
  std::shared_ptr<StreamExchange> exchange_;
  std::string method_;
  std::string path_;
  std::string authority_;
  HeaderList headers_;
  size_t header_bytes_ = 0;
  size_t unconsumed_ = 0;
  std::array<char, 12> status_text_{};
  bool too_large_ = false;
  bool dispatched_ = false;
  bool request_ended_ = false;
  bool head_sent_ = false;
};

// An exchange over one stream: what REST handlers see.
class Http2Session::StreamExchange final : public BufferedExchange, public StreamHandler {
 public:
  StreamExchange(ServerState& state, Stream* stream, HttpRequest request)
      : BufferedExchange(&state.loop, std::move(request), state.options.limits), state_(state), stream_(stream) {}

  void OnData(std::string_view bytes) override { DeliverBody(bytes); }
  void OnEnd() override { DeliverEnd(); }
  void OnDrained() override { NotifyDrained(); }
  void OnClose(uint32_t error_code) override {
    stream_ = nullptr;
    Disconnect();
  }

 private:
  void OnBodyWanted() override {
    if (continue_sent_) return;
    continue_sent_ = true;
    if (!absl::EqualsIgnoreCase(
            absl::string_view(request_.headers.Get("expect").data(), request_.headers.Get("expect").size()),
            "100-continue")) {
      return;
    }
    const nghttp2_nv nv = Stream::Field(":status", "100");
    nghttp2_submit_headers(stream_->session_->session_, NGHTTP2_FLAG_NONE, stream_->id_, nullptr, &nv, 1, nullptr);
    stream_->session_->WantFlush();
  }
  void OnBodyTaken(size_t bytes) override {
    if (stream_ != nullptr) stream_->Consume(bytes);
  }
  void SendHead(int status, HeaderList& headers, std::optional<size_t> body_length, bool end) override {
    HeaderList& head = stream_->head();
    head = std::move(headers);
    if (!head.Has("date")) head.AddLower("date", state_.Date());
    if (!head.Has("server") && !state_.options.server_name.empty()) {
      head.AddLower("server", state_.options.server_name);
    }
    head_request_ = request_.method == "HEAD";
    if (body_length && status != 204 && status != 304 && !head.Has("content-length")) {
      head.AddLower("content-length", std::to_string(*body_length));
    }
    stream_->SubmitHead(status, end || head_request_);
    ended_ = end || head_request_;
  }
  void SendBytes(std::string_view bytes) override {
    if (!ended_) stream_->SendData(bytes);
  }
  void SendEnd(HeaderList& trailers) override {
    if (!ended_) stream_->SendEnd(&trailers);
  }
  void SendAbort() override { stream_->Reset(NGHTTP2_INTERNAL_ERROR); }
  size_t BytesBuffered() const override { return stream_ != nullptr ? stream_->buffered() : 0; }

  ServerState& state_;
  Stream* stream_;
  bool continue_sent_ = false;
  bool head_request_ = false;
  bool ended_ = false;
};

Http2Session::Http2Session(ServerState& state)
    : state_(state),
      control_frames_(static_cast<double>(state.options.limits.control_frame_rate),
                      static_cast<double>(state.options.limits.control_frame_burst)) {
  const NetLimits& limits = state.options.limits;
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_stream_reset_rate_limit(option, limits.stream_reset_burst, limits.stream_reset_rate);
  nghttp2_session_server_new3(&session_, Callbacks(), static_cast<Http2Core*>(this), option, Http2Memory());
  nghttp2_option_del(option);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.max_header_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(limits.connection_window));
}

Http2Session::~Http2Session() {
  if (!streams_.empty()) OnClosed(absl::CancelledError("the session ended"));
  // nghttp2 refers to streams while it is torn down, so it goes first.
  nghttp2_session_del(session_);
  session_ = nullptr;
}

const nghttp2_session_callbacks* Http2Session::Callbacks() {
  static const nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    SetSendCallbacks(c);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, &Http2Session::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(c, &Http2Session::OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, &Http2Session::OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, &Http2Session::OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, &Http2Session::OnStreamClosed);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, &Http2Session::OnFrameSent);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, &Http2Session::OnInvalidFrame);
    return c;
  }();
  return callbacks;
}

void Http2Session::OnStart(Connection& connection) {
  connection_ = &connection;
  last_activity_ns_ = state_.loop.now_ns();
  connection.SetTimeout(state_.options.limits.keep_alive);
}

void Http2Session::OnBytes(std::string_view bytes) {
  if (broken_) return;
  last_activity_ns_ = state_.loop.now_ns();
  if (!Receive(bytes)) {
    broken_ = true;
    state_.protocol_errors.Add();
  }
  if (connection_ == nullptr) return;
  if (head_stream_ != nullptr && !head_timer_) {
    head_timer_ = true;
    connection_->SetTimeout(state_.options.limits.header_timeout);
  } else if (head_stream_ == nullptr && head_timer_) {
    head_timer_ = false;
    if (drain_stage_ == 0) connection_->SetTimeout(state_.options.limits.keep_alive);
  }
  WantFlush();
}

bool Http2Session::Finished() const {
  return broken_ || (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void Http2Session::OnTimeout() {
  if (head_timer_) {
    state_.protocol_errors.Add();
    broken_ = nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM) != 0;
    WantFlush();
    return;
  }
  if (drain_stage_ == 1) {
    drain_stage_ = 2;
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
    WantFlush();
    return;
  }
  if (drain_stage_ == 2) return;
  const absl::Duration idle = absl::Nanoseconds(state_.loop.now_ns() - last_activity_ns_);
  const absl::Duration keep_alive = state_.options.limits.keep_alive;
  if (!streams_.empty()) {
    connection_->SetTimeout(keep_alive);
  } else if (idle >= keep_alive) {
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    WantFlush();
  } else {
    connection_->SetTimeout(keep_alive - idle);
  }
}

void Http2Session::BeginDrain() {
  if (drain_stage_ != 0 || connection_ == nullptr) return;
  drain_stage_ = 1;
  nghttp2_submit_shutdown_notice(session_);
  connection_->SetTimeout(kDrainNotice);
  WantFlush();
}

void Http2Session::OnClosed(const absl::Status& why) {
  connection_ = nullptr;
  head_stream_ = nullptr;
  std::vector<Stream*> open(streams_.begin(), streams_.end());
  for (Stream* stream : open) {
    nghttp2_session_set_stream_user_data(session_, stream->id_, nullptr);
    if (stream->handler_ != nullptr) stream->handler_->OnClose(NGHTTP2_CANCEL);
    Release(stream);
  }
}

void Http2Session::Release(Stream* stream) {
  if (stream->dispatched_) state_.in_flight.Subtract();
  streams_.erase(stream);
  if (last_stream_ == stream) last_stream_ = nullptr;
  stream->Recycle();
  if (free_streams_.size() < kMaxFreeStreams) {
    free_streams_.emplace_back(stream);
  } else {
    delete stream;
  }
}

Http2Session::Stream* Http2Session::FindStream(int32_t id) {
  if (last_stream_ != nullptr && last_stream_->id_ == id) return last_stream_;
  last_stream_ = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  return last_stream_;
}

int Http2Session::OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  self->head_stream_ = nullptr;
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;  // trailers: not used
  Stream* stream;
  if (self->free_streams_.empty()) {
    stream = new Stream;
  } else {
    stream = self->free_streams_.back().release();
    self->free_streams_.pop_back();
  }
  stream->Open(self, frame->hd.stream_id);
  self->streams_.insert(stream);
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  self->head_stream_ = self->last_stream_ = stream;
  return 0;
}

int Http2Session::OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_length,
                           const uint8_t* value, size_t value_length, uint8_t, void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  Stream* stream = self->head_stream_;
  if (stream == nullptr || stream->id_ != frame->hd.stream_id) return 0;
  const NetLimits& limits = self->state_.options.limits;
  stream->header_bytes_ += name_length + value_length + kFieldOverhead;
  if (stream->header_bytes_ > limits.max_header_bytes || stream->headers_.size() >= limits.max_headers) {
    stream->too_large_ = true;
    return 0;
  }
  const std::string_view n(reinterpret_cast<const char*>(name), name_length);
  const std::string_view v(reinterpret_cast<const char*>(value), value_length);
  if (n.empty() || n[0] != ':') {
    stream->headers_.AddLower(n, v);
  } else if (n == ":path") {
    stream->path_ = v;
  } else if (n == ":method") {
    stream->method_ = v;
  } else if (n == ":authority") {
    stream->authority_ = v;
  }
  return 0;
}

void Http2Session::CountControlFrame() {
  if (control_frames_.Take(1, state_.loop.now_ns()).allowed) return;
  state_.protocol_errors.Add();
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

int Http2Session::OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS: {
      Stream* stream = self->FindStream(frame->hd.stream_id);
      self->head_stream_ = nullptr;
      if (stream == nullptr) return 0;
      const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      stream->request_ended_ |= end;
      if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) self->Dispatch(*stream);
      if (end && stream->handler_ != nullptr) stream->handler_->OnEnd();
      return 0;
    }
    case NGHTTP2_DATA: {
      const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (!end) {
        if (frame->hd.length == 0) self->CountControlFrame();
        return 0;
      }
      Stream* stream = self->FindStream(frame->hd.stream_id);
      if (stream == nullptr) return 0;
      stream->request_ended_ = true;
      if (stream->handler_ != nullptr) stream->handler_->OnEnd();
      return 0;
    }
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
      if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) self->CountControlFrame();
      return 0;
    case NGHTTP2_PRIORITY: self->CountControlFrame(); return 0;
    default: return 0;
  }
}

int Http2Session::OnInvalidFrame(nghttp2_session*, const nghttp2_frame*, int, void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  self->state_.protocol_errors.Add();
  self->CountControlFrame();
  return 0;
}

void Http2Session::Dispatch(Stream& stream) {
  stream.dispatched_ = true;
  state_.requests_http2.Add();
  state_.in_flight.Add();
  if (stream.too_large_) {
    HeaderList headers;
    headers.AddLower("content-length", "0");
    stream.SendHeaders(431, headers, true);
    return;
  }
  const std::string_view content_type = stream.headers_.Get("content-type");
  if (content_type.substr(0, 16) == "application/grpc") {
    stream.handler_ = state_.handler->OnGrpcStream(stream);
    if (stream.handler_ != nullptr) return;
  }
  HttpRequest request;
  request.method = stream.method_;
  request.target = stream.path_;
  request.host = stream.authority_.empty() ? std::string(stream.headers_.Get("host")) : stream.authority_;
  request.headers = stream.headers_;
  request.version = HttpVersion::kHttp2;
  request.peer_address = std::string(stream.peer_address());
  if (connection_ != nullptr && connection_->tls() != nullptr) request.tls = connection_->tls()->Info();
  auto exchange = std::make_shared<StreamExchange>(state_, &stream, std::move(request));
  stream.exchange_ = exchange;
  stream.handler_ = exchange.get();
  state_.handler->OnExchange(BufferedExchange::ForApplication(std::move(exchange)));
}

int Http2Session::OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t length,
                         void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  Stream* stream = self->FindStream(id);
  if (stream == nullptr) {
    nghttp2_session_consume_connection(session, length);
    return 0;
  }
  stream->unconsumed_ += length;
  if (stream->handler_ != nullptr) {
    stream->handler_->OnData(std::string_view(reinterpret_cast<const char*>(data), length));
  } else {
    stream->Consume(length);
  }
  return 0;
}

int Http2Session::OnStreamClosed(nghttp2_session* session, int32_t id, uint32_t error_code, void* user_data) {
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  Stream* stream = self->FindStream(id);
  if (stream == nullptr) return 0;
  if (self->head_stream_ == stream) self->head_stream_ = nullptr;
  // Bytes nobody consumed would shrink the connection's window for good.
  if (stream->unconsumed_ > 0) nghttp2_session_consume_connection(session, stream->unconsumed_);
  if (StreamHandler* handler = std::exchange(stream->handler_, nullptr)) handler->OnClose(error_code);
  self->Release(stream);
  return 0;
}

int Http2Session::OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  auto* self = static_cast<Http2Session*>(static_cast<Http2Core*>(user_data));
  Stream* stream = self->FindStream(frame->hd.stream_id);
  // The response is complete and the request is not: nobody waits for the rest (RFC 9113, 8.1).
  if (stream != nullptr && !stream->request_ended_) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }
  return 0;
}

}  // namespace alcove::net
