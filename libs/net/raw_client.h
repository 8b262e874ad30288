#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

// Test helpers: a blocking TCP client that sends exactly the bytes it is told to, and HTTP/2 frames built by hand, so
// that tests can say what no well-behaved client would.
namespace alcove::net {

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Ends the connection with RST instead of FIN.
  void Abort() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    Close();
  }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // One more piece, empty when nothing came within `timeout_ms` or the connection ended (see ended()).
  std::string ReadSome(int timeout_ms = 5000) {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, timeout_ms) <= 0) return {};
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n <= 0) {
      ended_ = true;
      return {};
    }
    return std::string(buffer, static_cast<size_t>(n));
  }
  // Reads until `needle` has been seen `times` times; what came so far when it does not.
  const std::string& ReadUntil(std::string_view needle, int times = 1) {
    while (Count(needle) < times) {
      std::string more = ReadSome();
      if (more.empty()) break;
      received_ += more;
    }
    return received_;
  }
  const std::string& ReadToEnd() {
    for (;;) {
      std::string more = ReadSome();
      if (more.empty()) return received_;
      received_ += more;
    }
  }
  std::string& received() { return received_; }
  bool ended() const { return ended_; }

 private:
  int Count(std::string_view needle) const {
    int n = 0;
    for (size_t at = received_.find(needle); at != std::string::npos; at = received_.find(needle, at + 1)) ++n;
    return n;
  }
  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string received_;
};

namespace h2 {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : uint8_t { kData, kHeaders, kPriority, kRst, kSettings, kPush, kPing, kGoaway, kWindow, kContinuation };
inline constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kAck = 1;

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  const auto n = static_cast<uint32_t>(payload.size());
  std::string out;
  for (uint32_t v :
       {n >> 16, n >> 8, n, uint32_t{type}, uint32_t{flags}, stream >> 24, stream >> 16, stream >> 8, stream})
    out.push_back(static_cast<char>(v));
  return out.append(payload);
}
inline std::string Number(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}
// One field, literal and outside the dynamic table; names and values below 127 bytes.
inline std::string Field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
  out.push_back(static_cast<char>(value.size()));
  return out.append(value);
}
inline std::string Head(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += Field(name, value);
  return out;
}
inline std::string Request(std::string_view method, std::string_view path) {
  return Head({{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "test"}});
}
inline std::string Hello() { return std::string(kPreface) + Frame(kSettings, 0, 0, ""); }

struct Received {
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
};
// Takes one whole frame off the front of `bytes`.
inline std::optional<Received> Take(std::string& bytes) {
  if (bytes.size() < 9) return std::nullopt;
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const size_t n = size_t{p[0]} << 16 | size_t{p[1]} << 8 | p[2];
  if (bytes.size() < 9 + n) return std::nullopt;
  Received frame{p[3], p[4], (uint32_t{p[5]} & 0x7f) << 24 | uint32_t{p[6]} << 16 | uint32_t{p[7]} << 8 | p[8],
                 bytes.substr(9, n)};
  bytes.erase(0, 9 + n);
  return frame;
}
// Reads frames until one of `type` arrives (on `stream`, unless 0); nullopt when the connection ends or stalls first.
inline std::optional<Received> WaitFor(RawClient& client, uint8_t type, uint32_t stream = 0) {
  for (;;) {
    while (auto frame = Take(client.received())) {
      if (frame->type == type && (stream == 0 || frame->stream == stream)) return frame;
    }
    std::string more = client.ReadSome();
    if (more.empty()) return std::nullopt;
    client.received() += more;
  }
}

}  // namespace h2
}  // namespace alcove::net
