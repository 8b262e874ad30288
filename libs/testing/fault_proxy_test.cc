#include "libs/testing/fault_proxy.h"

#include <cerrno>
#include <string>
#include <thread>

#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libs/testing/status_matchers.h"

namespace alcove::testing {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A server that sends back what it gets, one connection at a time, and a client of it through the proxy.
class FaultProxy : public ::testing::Test {
 protected:
  void SetUp() override {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t length = sizeof(address);
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(listen(listener_, 8), 0);
    ASSERT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    echo_ = std::thread([this] { Echo(); });
    ALCOVE_ASSERT_OK_AND_ASSIGN(proxy_, TcpFaultProxy::Start("127.0.0.1", ntohs(address.sin_port)));
    client_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit = {5, 0};
    setsockopt(client_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const sockaddr_in to = Loopback(proxy_->port());
    ASSERT_EQ(connect(client_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }

  void TearDown() override {
    close(client_);
    proxy_ = nullptr;
    shutdown(listener_, SHUT_RDWR);
    echo_.join();
    close(listener_);
  }

  void Echo() {
    for (int fd = 0; (fd = accept(listener_, nullptr, nullptr)) >= 0; close(fd)) {
      char buffer[4096];
      for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
        if (send(fd, buffer, static_cast<size_t>(got), MSG_NOSIGNAL) < 0) break;
      }
    }
  }

  void Send(const std::string& bytes) { (void)!send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

  // `size` bytes, or fewer when the connection ends; `error` is the errno of its end, 0 for an orderly one.
  std::string Receive(size_t size, int* error = nullptr) {
    std::string bytes;
    while (bytes.size() < size) {
      char buffer[4096];
      const ssize_t got = recv(client_, buffer, std::min(sizeof(buffer), size - bytes.size()), 0);
      if (got <= 0) {
        if (error != nullptr) *error = got == 0 ? 0 : errno;
        return bytes;
      }
      bytes.append(buffer, static_cast<size_t>(got));
    }
    return bytes;
  }

  int listener_ = -1;
  int client_ = -1;
  std::thread echo_;
  std::unique_ptr<TcpFaultProxy> proxy_;
};

TEST_F(FaultProxy, PassesBytesBothWays) {
  Send("hello");
  EXPECT_EQ(Receive(5), "hello");
  // It counts what it has sent already.
  for (const absl::Time end = absl::Now() + absl::Seconds(20); proxy_->bytes() < 10 && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(proxy_->bytes(), 10u);
  EXPECT_EQ(proxy_->connections(), 1);
}

TEST_F(FaultProxy, PassesAnOrderlyEnd) {
  Send("bye");
  shutdown(client_, SHUT_WR);
  int error = -1;
  EXPECT_EQ(Receive(100, &error), "bye");
  EXPECT_EQ(error, 0);
}

TEST_F(FaultProxy, DelaysEachDirection) {
  proxy_->SetFault(Fault::kDelay, absl::Milliseconds(30));
  const absl::Time start = absl::Now();
  Send("slow");
  EXPECT_EQ(Receive(4), "slow");
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(60));
}

TEST_F(FaultProxy, ResetsOpenConnections) {
  Send("x");
  EXPECT_EQ(Receive(1), "x");
  proxy_->SetFault(Fault::kReset);
  int error = 0;
  EXPECT_EQ(Receive(1, &error), "");
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(FaultProxy, ResetsInTheMiddleOfAMessage) {
  proxy_->SetFault(Fault::kResetMidway);
  Send("abcdef");
  int error = 0;
  EXPECT_EQ(Receive(6, &error), "");
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(FaultProxy, SwallowsBytesWhenDropping) {
  proxy_->SetFault(Fault::kDrop);
  Send("lost");
  const timeval limit = {0, 50'000};
  setsockopt(client_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  int error = 0;
  EXPECT_EQ(Receive(4, &error), "");
  EXPECT_EQ(error, EAGAIN);
}

TEST_F(FaultProxy, HoldsBytesWhileHalfOpenAndDeliversThemLater) {
  proxy_->SetFault(Fault::kHalfOpen);
  Send("held");
  const timeval limit = {0, 50'000};
  setsockopt(client_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  EXPECT_EQ(Receive(4), "");
  proxy_->SetFault(Fault::kNone);
  const timeval long_limit = {5, 0};
  setsockopt(client_, SOL_SOCKET, SO_RCVTIMEO, &long_limit, sizeof(long_limit));
  EXPECT_EQ(Receive(4), "held");
}

TEST_F(FaultProxy, WritesOneByteAtATime) {
  proxy_->SetFault(Fault::kOneByte);
  Send(std::string(3000, 'z'));
  EXPECT_EQ(Receive(3000), std::string(3000, 'z'));
}

}  // namespace
}  // namespace alcove::testing
