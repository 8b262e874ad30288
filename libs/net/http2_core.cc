#include "libs/net/http2_core.h"

#include <algorithm>

#include "libs/net/server_stream.h"

namespace alcove::net {

void Http2SendBuffer::Append(std::string_view bytes) {
  if (offset_ > 0 && offset_ >= out_.size() / 2) {
    out_.erase(0, offset_);
    offset_ = 0;
  }
  out_.append(bytes);
  if (buffered() > StreamHandler::kStreamHighWater) above_high_water_ = true;
}

void Http2SendBuffer::ResetSendBuffer() {
  constexpr size_t kKeep = 64 * 1024;
  if (out_.capacity() > kKeep) out_ = std::string();
  out_.clear();
  offset_ = 0;
  head_.Clear();
  trailers_.Clear();
  ended_ = has_trailers_ = deferred_ = above_high_water_ = false;
}

Http2Core::~Http2Core() { nghttp2_session_del(session_); }

void Http2Core::SetSendCallbacks(nghttp2_session_callbacks* callbacks) {
  nghttp2_session_callbacks_set_send_data_callback(callbacks, &Http2Core::SendData);
}

bool Http2Core::Receive(std::string_view bytes) {
  const ssize_t n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return n >= 0;
}

void Http2Core::Produce(std::string& out, size_t limit) {
  produce_ = &out;
  produce_limit_ = limit;
  while (out.size() < limit) {
    const uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) {
      produce_ = nullptr;
      if (connection_ != nullptr) connection_->Close(absl::InternalError(nghttp2_strerror(static_cast<int>(n))));
      return;
    }
    if (n == 0) break;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
  }
  produce_ = nullptr;
}

nghttp2_data_provider Http2Core::Provider(Http2SendBuffer* stream) const {
  nghttp2_data_provider provider;
  provider.source.ptr = stream;
  provider.read_callback = &Http2Core::ReadData;
  return provider;
}

void Http2Core::Resume(int32_t id, Http2SendBuffer* stream) {
  if (stream->deferred_) {
    stream->deferred_ = false;
    nghttp2_session_resume_data(session_, id);
  }
  WantFlush();
}

ssize_t Http2Core::ReadData(nghttp2_session* session, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                            nghttp2_data_source* source, void* user_data) {
  auto* self = static_cast<Http2Core*>(user_data);
  auto* stream = static_cast<Http2SendBuffer*>(source->ptr);
  const size_t n = std::min(length, stream->buffered());
  if (n == 0 && !stream->ended_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (n == stream->buffered() && stream->ended_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->has_trailers_) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      self->nva_.clear();
      AppendFields(stream->trailers_, self->nva_);
      nghttp2_submit_trailer(session, id, self->nva_.data(), self->nva_.size());
    }
  }
  if (n > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  return static_cast<ssize_t>(n);
}

int Http2Core::SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* framehd, size_t length,
                        nghttp2_data_source* source, void* user_data) {
  auto* self = static_cast<Http2Core*>(user_data);
  auto* stream = static_cast<Http2SendBuffer*>(source->ptr);
  if (self->produce_->size() >= self->produce_limit_) return NGHTTP2_ERR_WOULDBLOCK;
  constexpr size_t kFrameHeader = 9;
  self->produce_->append(reinterpret_cast<const char*>(framehd), kFrameHeader);
  self->produce_->append(stream->out_, stream->offset_, length);
  stream->offset_ += length;
  if (stream->offset_ == stream->out_.size()) {
    stream->out_.clear();
    stream->offset_ = 0;
  }
  if (stream->above_high_water_ && stream->buffered() <= StreamHandler::kStreamHighWater / 2) {
    stream->above_high_water_ = false;
    stream->OnSendDrained();
  }
  return 0;
}

nghttp2_nv Http2Core::Field(std::string_view name, std::string_view value, bool sensitive) {
  nghttp2_nv nv;
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  nv.namelen = name.size();
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  nv.valuelen = value.size();
  nv.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
  if (sensitive) nv.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
  return nv;
}

void Http2Core::AppendFields(const HeaderList& list, std::vector<nghttp2_nv>& nva) {
  for (const HeaderList::Field field : list) nva.push_back(Field(field.name, field.value, field.sensitive));
}

}  // namespace alcove::net
