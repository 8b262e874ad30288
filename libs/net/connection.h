#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ip/tcp.hpp>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/net/loop.h"
#include "libs/net/loop_counter.h"
#include "libs/net/tls.h"

namespace alcove::net {

class Connection;

// A protocol as a state machine over bytes: it never touches a socket, so tests and fuzzers feed it directly.
class Protocol {
 public:
  virtual ~Protocol() = default;
  // The connection is usable (accepted, or connected as a client). TLS is not finished yet.
  virtual void OnStart(Connection& connection) {}
  // Bytes from the peer; valid during the call.
  virtual void OnBytes(std::string_view bytes) = 0;
  // Appends what is to be sent, stopping soon after out has grown past `limit` bytes. Called once all earlier output
  // has reached the kernel, so what is not produced yet is what a slow peer holds back.
  virtual void Produce(std::string& out, size_t limit) = 0;
  // True when the connection should be closed once Produce yields nothing.
  virtual bool Finished() const = 0;
  // The time set by Connection::SetTimeout has passed.
  virtual void OnTimeout() {}
  // The connection is gone. Exactly once, never from within another call of this object.
  virtual void OnClosed(const absl::Status& why) = 0;
};

struct ConnectionCounters {
  LoopCounter bytes_in;
  LoopCounter bytes_out;
};

// One TCP connection of one loop, with or without TLS: reads into the protocol, and writes what the protocol produced
// once per turn. Keeps itself alive while the socket is open.
//
// Thread safety: the loop's own thread.
class Connection final : public std::enable_shared_from_this<Connection>, public Flushable {
 public:
  struct Options {
    size_t read_buffer = 16 * 1024;
    size_t write_chunk = 128 * 1024;  // most that is gathered for one write
    absl::Duration write_timeout = absl::Seconds(60);
    ConnectionCounters* counters = nullptr;
  };
  Connection(Loop& loop, asio::ip::tcp::socket socket, std::unique_ptr<Protocol> protocol, Options options,
             std::unique_ptr<TlsFilter> tls = nullptr);
  ~Connection() override;

  // For an accepted socket.
  void Start();
  // For a client: connects first; OnClosed(UNAVAILABLE) when that fails or takes longer than `timeout`.
  void Connect(const asio::ip::tcp::endpoint& endpoint, absl::Duration timeout);

  // Something is to be sent: flushes at the end of the turn.
  void WantFlush() { loop_.RequestFlush(this); }
  // Flushes at once, for a caller who has much to do in what is left of the turn. At the end of the turn all the same
  // when it is called by the protocol while that receives or produces.
  void FlushNow();
  // One timer for the protocol; InfiniteDuration disarms it.
  void SetTimeout(absl::Duration from_now);
  void SetReading(bool reading);
  // Closes at once; OnClosed follows in a later handler.
  void Close(absl::Status why);

  Loop& loop() { return loop_; }
  Protocol& protocol() { return *protocol_; }
  TlsFilter* tls() { return tls_.get(); }
  bool closed() const { return closed_; }
  bool connected() const { return connected_; }
  const std::string& peer_address() const { return peer_address_; }
  // Called after OnClosed; the last chance to forget the connection.
  void SetOnGone(std::function<void(Connection*)> f) { on_gone_ = std::move(f); }

 private:
  void Flush() override;
  void Deliver(std::string_view bytes);
  void Produce(std::string& out);
  bool FillOutput();
  void Read();
  void OnRead(const boost::system::error_code& error, size_t n);
  void WaitWritable();
  void BeginLinger();
  void OnProtocolTimer();
  void OnWriteTimer();
  void Describe();

  Loop& loop_;
  asio::ip::tcp::socket socket_;
  std::unique_ptr<Protocol> protocol_;
  const Options options_;
  std::unique_ptr<TlsFilter> tls_;
  std::string peer_address_;
  std::unique_ptr<char[]> read_buffer_;
  std::string plain_in_;
  std::string plain_out_;
  std::string out_;
  size_t out_offset_ = 0;
  bool connected_ = false;
  bool closed_ = false;
  bool reading_ = true;
  bool read_pending_ = false;
  bool write_blocked_ = false;
  bool lingering_ = false;
  bool in_protocol_ = false;  // which is receiving or producing
  MemberTimer<Connection, &Connection::OnProtocolTimer> protocol_timer_{this};
  MemberTimer<Connection, &Connection::OnWriteTimer> write_timer_{this};
  std::function<void(Connection*)> on_gone_;
};

}  // namespace alcove::net
