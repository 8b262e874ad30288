#include "libs/net/connection.h"

#include <cerrno>
#include <utility>

#include <boost/asio/post.hpp>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"

namespace alcove::net {
namespace {

// Writes per flush before other connections get their turn.
constexpr int kWritesPerFlush = 8;
// How long a closed write side waits for the peer to read and close (RFC 9112, 9.6).
constexpr absl::Duration kLinger = absl::Seconds(1);

void SetSocketOptions(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  const int idle = 30;
  const int interval = 10;
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
}

}  // namespace

Connection::Connection(Loop& loop, asio::ip::tcp::socket socket, std::unique_ptr<Protocol> protocol, Options options,
                       std::unique_ptr<TlsFilter> tls)
    : loop_(loop),
      socket_(std::move(socket)),
      protocol_(std::move(protocol)),
      options_(options),
      tls_(std::move(tls)),
      read_buffer_(new char[options.read_buffer]) {}

Connection::~Connection() { loop_.CancelFlush(this); }

void Connection::Start() {
  connected_ = true;
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  SetSocketOptions(socket_.native_handle());
  Describe();
  protocol_->OnStart(*this);
  Read();
  WantFlush();
}

void Connection::Connect(const asio::ip::tcp::endpoint& endpoint, absl::Duration timeout) {
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (error) {
    Close(ErrnoStatus(error.value(), "cannot open a socket"));
    return;
  }
  const std::string address = absl::StrCat(endpoint.address().to_string(), ":", endpoint.port());
  SetTimeout(timeout);
  socket_.async_connect(endpoint, [self = shared_from_this(), address](const boost::system::error_code& error) {
    if (self->closed_) return;
    self->SetTimeout(absl::InfiniteDuration());
    if (error) {
      self->Close(absl::UnavailableError(absl::StrCat("cannot connect to ", address, ": ", error.message())));
    } else {
      self->Start();
    }
  });
}

void Connection::Describe() {
  boost::system::error_code error;
  const auto remote = socket_.remote_endpoint(error);
  if (error) return;
  peer_address_ = remote.address().is_v6() ? absl::StrCat("[", remote.address().to_string(), "]:", remote.port())
                                           : absl::StrCat(remote.address().to_string(), ":", remote.port());
}

void Connection::SetTimeout(absl::Duration from_now) {
  if (from_now == absl::InfiniteDuration()) {
    loop_.timers().Cancel(protocol_timer_);
  } else {
    loop_.timers().Arm(protocol_timer_, Loop::NowNs() + absl::ToInt64Nanoseconds(from_now));
  }
}

void Connection::SetReading(bool reading) {
  reading_ = reading;
  if (reading && connected_) Read();
}

void Connection::Read() {
  if (read_pending_ || closed_ || !reading_) return;
  read_pending_ = true;
  socket_.async_read_some(asio::buffer(read_buffer_.get(), options_.read_buffer),
                          [self = shared_from_this()](const boost::system::error_code& error, size_t n) {
                            self->read_pending_ = false;
                            self->OnRead(error, n);
                          });
}

void Connection::OnRead(const boost::system::error_code& error, size_t n) {
  if (closed_) return;
  if (error) {
    Close(error == asio::error::eof ? absl::CancelledError("the peer closed the connection")
                                    : absl::UnavailableError(absl::StrCat("connection lost: ", error.message())));
    return;
  }
  loop_.Tick();
  if (options_.counters != nullptr) options_.counters->bytes_in.Add(n);
  if (!lingering_) {
    const std::string_view bytes(read_buffer_.get(), n);
    if (tls_ == nullptr) {
      Deliver(bytes);
    } else {
      plain_in_.clear();
      const absl::Status status = tls_->Receive(bytes, plain_in_);
      WantFlush();  // handshake bytes, or the alert that explains the failure
      if (!plain_in_.empty() && status.ok()) Deliver(plain_in_);
      if (!status.ok()) {
        Flush();
        Close(status);
        return;
      }
      if (tls_->peer_closed()) {
        Flush();
        Close(absl::CancelledError("the peer closed the connection"));
        return;
      }
    }
  }
  Read();
}

void Connection::Deliver(std::string_view bytes) {
  in_protocol_ = true;
  protocol_->OnBytes(bytes);
  in_protocol_ = false;
}

void Connection::Produce(std::string& out) {
  in_protocol_ = true;
  protocol_->Produce(out, options_.write_chunk);
  in_protocol_ = false;
}

void Connection::FlushNow() {
  if (in_protocol_) {
    WantFlush();
  } else {
    Flush();
  }
}

bool Connection::FillOutput() {
  out_.clear();
  out_offset_ = 0;
  if (lingering_) return false;
  if (tls_ == nullptr) {
    Produce(out_);
  } else {
    if (tls_->handshake_done()) {
      plain_out_.clear();
      Produce(plain_out_);
      const absl::Status status = tls_->Send(plain_out_);
      if (!status.ok()) {
        Close(status);
        return false;
      }
    }
    tls_->TakeOutput(out_);
  }
  return !out_.empty();
}

void Connection::Flush() {
  if (closed_ || !connected_ || write_blocked_) return;
  for (int i = 0; i < kWritesPerFlush; ++i) {
    if (out_offset_ == out_.size()) {
      if (!FillOutput()) {
        if (!closed_ && !lingering_ && protocol_->Finished()) BeginLinger();
        // A burst must not pin its memory on an idle connection.
        if (out_.capacity() > 2 * options_.write_chunk) out_ = std::string();
        return;
      }
      if (closed_) return;
    }
    const ssize_t n =
        ::send(socket_.native_handle(), out_.data() + out_offset_, out_.size() - out_offset_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        WaitWritable();
      } else {
        Close(ErrnoStatus(errno, "write failed"));
      }
      return;
    }
    if (options_.counters != nullptr) options_.counters->bytes_out.Add(static_cast<uint64_t>(n));
    out_offset_ += static_cast<size_t>(n);
  }
  WantFlush();
}

void Connection::WaitWritable() {
  write_blocked_ = true;
  loop_.timers().Arm(write_timer_, Loop::NowNs() + absl::ToInt64Nanoseconds(options_.write_timeout));
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->write_blocked_ = false;
                       if (self->closed_) return;
                       self->loop_.timers().Cancel(self->write_timer_);
                       if (error) {
                         self->Close(absl::UnavailableError(absl::StrCat("connection lost: ", error.message())));
                       } else {
                         self->WantFlush();
                       }
                     });
}

void Connection::BeginLinger() {
  lingering_ = true;
  if (tls_ != nullptr) {
    tls_->Close();
    std::string last;
    tls_->TakeOutput(last);
    // Best effort: a lost close_notify is indistinguishable from a closed connection to a well-behaved peer.
    if (!last.empty()) (void)!::send(socket_.native_handle(), last.data(), last.size(), MSG_NOSIGNAL);
  }
  boost::system::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  SetTimeout(kLinger);
  SetReading(true);
}

void Connection::OnProtocolTimer() {
  if (!connected_) {
    Close(absl::UnavailableError("connecting took too long"));
  } else if (lingering_) {
    Close(absl::OkStatus());
  } else {
    protocol_->OnTimeout();
  }
}

void Connection::OnWriteTimer() { Close(absl::DeadlineExceededError("the peer reads nothing")); }

void Connection::Close(absl::Status why) {
  if (closed_) return;
  closed_ = true;
  loop_.timers().Cancel(protocol_timer_);
  loop_.timers().Cancel(write_timer_);
  boost::system::error_code error;
  socket_.close(error);
  asio::post(loop_.io(), [self = shared_from_this(), why = std::move(why)] {
    self->protocol_->OnClosed(why);
    if (self->on_gone_) std::exchange(self->on_gone_, nullptr)(self.get());
  });
}

}  // namespace alcove::net
