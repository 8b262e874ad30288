#include "libs/net/server.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "libs/common/net_address.h"
#include "libs/net/raw_client.h"
#include "libs/net/views.h"

namespace alcove::net {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

HttpResponse Text(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.headers.Add("Content-Type", "text/plain");
  response.body = std::move(body);
  return response;
}

// What the tests ask of an application.
class TestHandler final : public Handler {
 public:
  struct Shared {
    std::atomic<int> cancelled{0};
    std::atomic<int> done{0};
    std::atomic<int64_t> written{0};
    absl::Notification reached;
    std::atomic<bool> hold{true};
  };
  explicit TestHandler(Shared* shared) : shared_(shared) {}

  void OnExchange(std::shared_ptr<Exchange> exchange) override {
    exchange->OnCancel([shared = shared_] { ++shared->cancelled; });
    exchange->OnDone([shared = shared_](const Exchange&) { ++shared->done; });
    const std::string path(exchange->request().path());
    if (path == "/hello") {
      exchange->Respond(Text(200, "hello"));
    } else if (path == "/echo") {
      asio::co_spawn(exchange->executor(), Echo(exchange), asio::detached);
    } else if (path == "/count") {
      asio::co_spawn(exchange->executor(), Count(exchange), asio::detached);
    } else if (path == "/stream") {
      asio::co_spawn(exchange->executor(), Stream(exchange, 3, "chunk"), asio::detached);
    } else if (path == "/flood") {
      asio::co_spawn(exchange->executor(), Flood(exchange, shared_), asio::detached);
    } else if (path == "/wait") {
      shared_->reached.Notify();
      asio::co_spawn(exchange->executor(), Wait(exchange, shared_), asio::detached);
    } else if (path == "/abort") {
      exchange->StartResponse(200, {});
      exchange->Abort();
    } else if (path == "/inspect") {
      const HttpRequest& r = exchange->request();
      std::string text = absl::StrCat(r.method, " host=", r.host, " query=", AbslView(r.query()),
                                      " peer=", r.peer_address.empty() ? "none" : "known",
                                      " trace=", exchange->context().trace().trace_id_hex(),
                                      " tls=", r.tls ? r.tls->protocol : "none");
      exchange->Respond(Text(200, text));
    } else if (path == "/split") {
      HttpResponse response = Text(200, "x");
      response.headers.Add("x-bad", "a\r\nset-cookie: stolen=1");
      exchange->Respond(std::move(response));
    } else if (path != "/drop") {
      exchange->Respond(Text(404, "no such page"));
    }
  }

 private:
  static asio::awaitable<void> Echo(std::shared_ptr<Exchange> exchange) {
    absl::StatusOr<std::string> body = co_await exchange->ReadBody(1 << 20);
    if (body.ok()) {
      exchange->Respond(Text(200, *std::move(body)));
    } else if (!exchange->cancelled()) {
      exchange->Respond(Text(413, std::string(StdView(body.status().message()))));
    }
  }
  static asio::awaitable<void> Count(std::shared_ptr<Exchange> exchange) {
    size_t total = 0;
    for (;;) {
      absl::StatusOr<std::optional<std::string>> chunk = co_await exchange->ReadChunk();
      if (!chunk.ok()) co_return;
      if (!chunk->has_value()) break;
      total += (*chunk)->size();
    }
    exchange->Respond(Text(200, absl::StrCat(total)));
  }
  static asio::awaitable<void> Stream(std::shared_ptr<Exchange> exchange, int n, std::string piece) {
    HeaderList headers;
    headers.Add("content-type", "text/event-stream");
    exchange->StartResponse(200, headers);
    for (int i = 0; i < n; ++i) {
      std::string chunk = absl::StrCat(piece, i);
      const absl::Status written = co_await exchange->Write(std::move(chunk));
      if (!written.ok()) co_return;
    }
    HeaderList trailers;
    trailers.Add("x-total", absl::StrCat(n));
    exchange->Finish(trailers);
  }
  static asio::awaitable<void> Flood(std::shared_ptr<Exchange> exchange, Shared* shared) {
    exchange->StartResponse(200, {});
    for (;;) {
      std::string chunk(16 * 1024, 'f');
      const absl::Status written = co_await exchange->Write(std::move(chunk));
      if (!written.ok()) co_return;
      shared->written += 16 * 1024;
    }
  }
  static asio::awaitable<void> Wait(std::shared_ptr<Exchange> exchange, Shared* shared) {
    while (shared->hold && !exchange->cancelled()) {
      asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(2));
      co_await timer.async_wait(asio::use_awaitable);
    }
    exchange->Respond(Text(200, "waited"));
  }

  Shared* shared_;
};

class ServerTest : public ::testing::Test {
 protected:
  void Start(std::function<void(ServerOptions&)> change = [](ServerOptions&) {}) {
    ServerOptions options;
    options.port = 0;
    options.threads = 1;
    change(options);
    auto server = Server::Start(options, [this](Loop&) { return std::make_unique<TestHandler>(&shared_); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // Polls `condition`, which another thread makes true.
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 2500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  std::string Ask(std::string_view request) {
    RawClient client(server_->port());
    client.Send(request);
    return client.ReadToEnd();
  }
  TestHandler::Shared shared_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersHttp11AndKeepsTheConnection) {
  Start();
  RawClient client(server_->port());
  client.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("hello"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(client.received(), Not(HasSubstr("connection: close")));
  client.received().clear();
  client.Send("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(client.received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  const std::string answer =
      Ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
          "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
          "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree");
  const size_t one = answer.find("one"), two = answer.find("hello"), three = answer.find("three");
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
  EXPECT_NE(three, std::string::npos);
}

TEST_F(ServerTest, ReadsARequestSentByteByByte) {
  Start();
  RawClient client(server_->port());
  for (char c :
       std::string("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n "
                   "world\r\n0\r\n\r\n")) {
    client.Send(std::string_view(&c, 1));
  }
  EXPECT_THAT(client.ReadUntil("hello world"), HasSubstr("content-length: 11"));
}

TEST_F(ServerTest, StreamsChunkedToHttp11AndUntilCloseToHttp10) {
  Start();
  EXPECT_THAT(Ask("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              HasSubstr("6\r\nchunk0\r\n6\r\nchunk1\r\n6\r\nchunk2\r\n0\r\n\r\n"));
  EXPECT_THAT(Ask("GET /stream HTTP/1.0\r\n\r\n"), HasSubstr("\r\n\r\nchunk0chunk1chunk2"));
}

TEST_F(ServerTest, AnswersHeadWithoutABody) {
  Start();
  const std::string answer = Ask("HEAD /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("content-length: 5"));
  EXPECT_TRUE(absl::EndsWith(answer, "\r\n\r\n"));
}

TEST_F(ServerTest, Sends100ContinueOnlyWhenTheBodyIsWanted) {
  Start();
  RawClient client(server_->port());
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue\r\n\r\n"));
  client.Send("ok");
  EXPECT_THAT(client.ReadUntil("\r\n\r\nok"), HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(Ask("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
              StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(ServerTest, RefusesRequestsThatSmuggle) {
  Start();
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), StartsWith("HTTP/1.1 501"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET relative HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 505"));
  EXPECT_THAT(Ask("\x16\x03\x01 not http at all\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_GE(server_->stats().protocol_errors, 9u);
}

TEST_F(ServerTest, BoundsHeadsAndBodies) {
  Start([](ServerOptions& o) {
    o.limits.max_header_bytes = 2048;
    o.limits.max_headers = 20;
    o.limits.max_body_bytes = 100;
  });
  EXPECT_THAT(Ask(absl::StrCat("GET /", std::string(4000, 'a'), " HTTP/1.1\r\nHost: a\r\n\r\n")),
              StartsWith("HTTP/1.1 431"));
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 30; ++i) absl::StrAppend(&many, "a", i, ": b\r\n");
  EXPECT_THAT(Ask(many + "\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Ask(absl::StrCat(
                  "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n70\r\n",
                  std::string(0x70, 'b'), "\r\n0\r\n\r\n")),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, ClosesSlowloris) {
  Start([](ServerOptions& o) { o.limits.header_timeout = absl::Milliseconds(60); });
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nHost:"), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(Ask(""), "");
  EXPECT_EQ(Ask("PRI * HTTP/2.0\r\n"), "");
}

TEST_F(ServerTest, GivesUpOnABodyThatStalls) {
  Start([](ServerOptions& o) { o.limits.body_idle_timeout = absl::Milliseconds(60); });
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"),
              HasSubstr("did not arrive in time"));
}

TEST_F(ServerTest, ClosesIdleConnections) {
  Start([](ServerOptions& o) { o.limits.keep_alive = absl::Milliseconds(60); });
  RawClient client(server_->port());
  client.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("hello"));
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, TellsTheApplicationWhenTheClientLeaves) {
  Start();
  RawClient client(server_->port());
  client.Send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  shared_.reached.WaitForNotification();
  client.Close();
  EXPECT_TRUE(Eventually([this] { return shared_.cancelled == 1; }));
  EXPECT_TRUE(Eventually([this] { return server_->in_flight() == 0; }));
  EXPECT_EQ(shared_.done, 1);
}

TEST_F(ServerTest, ASlowReaderHoldsTheWriterBack) {
  Start();
  RawClient client(server_->port(), 4096);
  client.Send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
  int64_t last = -1;
  // The writer must come to rest: the same figure twice in a row, well after it began.
  ASSERT_TRUE(Eventually([&] {
    const int64_t now = shared_.written;
    const bool resting = now == last && now > 0;
    last = now;
    if (!resting) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return resting;
  }));
  EXPECT_LT(shared_.written, 16 << 20);
  client.Abort();
  EXPECT_TRUE(Eventually([this] { return shared_.cancelled == 1; }));
}

TEST_F(ServerTest, AnswersForADroppedExchangeAndCutsAnAbortedOne) {
  Start();
  EXPECT_THAT(Ask("GET /drop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Ask("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n"), Not(HasSubstr("0\r\n\r\n")));
}

TEST_F(ServerTest, DescribesTheRequest) {
  Start();
  const std::string answer =
      Ask("GET http://other/inspect?a=1&b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
          "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("GET host=other query=a=1&b peer=known trace=0af7651916cd43dd8448eb211c80319c"));
}

TEST_F(ServerTest, HeaderValuesCannotSplitAResponse) {
  Start();
  EXPECT_THAT(Ask("GET /split HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), Not(HasSubstr("\r\nset-cookie")));
}

TEST_F(ServerTest, SaysWhichAddressIsTaken) {
  Start();
  ServerOptions options;
  options.port = server_->port();
  const auto second = Server::Start(options, [this](Loop&) { return std::make_unique<TestHandler>(&shared_); });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(StdView(second.status().message())), HasSubstr(absl::StrCat(server_->port())));
}

TEST_F(ServerTest, DrainFinishesWhatIsInFlight) {
  Start();
  RawClient busy(server_->port()), idle(server_->port());
  idle.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  idle.ReadUntil("hello");
  busy.Send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  shared_.reached.WaitForNotification();
  absl::Status drained;
  std::thread control([&] { drained = server_->Drain(absl::Seconds(10)); });
  idle.ReadToEnd();
  EXPECT_TRUE(idle.ended());
  idle.Close();
  EXPECT_FALSE(RawClient(server_->port()).connected());
  shared_.hold = false;
  EXPECT_THAT(busy.ReadUntil("waited"), HasSubstr("connection: close"));
  busy.Close();
  control.join();
  EXPECT_TRUE(drained.ok()) << drained;
}

TEST_F(ServerTest, DrainCancelsWhatTakesTooLong) {
  Start();
  RawClient busy(server_->port());
  busy.Send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  shared_.reached.WaitForNotification();
  EXPECT_EQ(server_->Drain(absl::Milliseconds(50)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([this] { return shared_.cancelled == 1; }));
}

// ---- HTTP/2 ----

TEST_F(ServerTest, AnswersHttp2OnTheSamePort) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/hello")));
  ASSERT_TRUE(h2::WaitFor(client, h2::kHeaders, 1).has_value());
  const auto data = h2::WaitFor(client, h2::kData, 1);
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->payload, "hello");
  EXPECT_EQ(data->flags & h2::kEndStream, h2::kEndStream);
}

TEST_F(ServerTest, ReadsHttp2ByteByByte) {
  Start();
  RawClient client(server_->port());
  const std::string all = h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndHeaders, 1, h2::Request("POST", "/echo")) +
                          h2::Frame(h2::kData, 0, 1, "by") + h2::Frame(h2::kData, h2::kEndStream, 1, "tes");
  for (char c : all) client.Send(std::string_view(&c, 1));
  const auto data = h2::WaitFor(client, h2::kData, 1);
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->payload, "bytes");
}

TEST_F(ServerTest, SendsTrailersOnHttp2) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() +
              h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/stream")));
  ASSERT_TRUE(h2::WaitFor(client, h2::kHeaders, 1).has_value());
  ASSERT_TRUE(h2::WaitFor(client, h2::kData, 1).has_value());
  const auto trailers = h2::WaitFor(client, h2::kHeaders, 1);
  ASSERT_TRUE(trailers.has_value());
  EXPECT_EQ(trailers->flags & h2::kEndStream, h2::kEndStream);
}

TEST_F(ServerTest, ResettingAStreamCancelsItsExchange) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/wait")));
  shared_.reached.WaitForNotification();
  client.Send(h2::Frame(h2::kRst, 0, 1, h2::Number(8)));
  EXPECT_TRUE(Eventually([this] { return shared_.cancelled == 1 && server_->in_flight() == 0; }));
  client.Send(h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 3, h2::Request("GET", "/hello")));
  EXPECT_TRUE(h2::WaitFor(client, h2::kData, 3).has_value()) << "the connection goes on";
}

TEST_F(ServerTest, AClosedHttp2WindowHoldsTheWriterBack) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/flood")));
  ASSERT_TRUE(h2::WaitFor(client, h2::kData, 1).has_value());
  int64_t last = -1;
  ASSERT_TRUE(Eventually([&] {
    const int64_t now = shared_.written;
    const bool resting = now == last;
    last = now;
    if (!resting) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return resting;
  }));
  // The client's window of 65,535 bytes, and what an exchange may buffer beyond it.
  EXPECT_LE(shared_.written, static_cast<int64_t>(65535 + Exchange::kMaxBufferedBytes + 16 * 1024));
  client.Close();
  EXPECT_TRUE(Eventually([this] { return shared_.cancelled == 1; }));
}

TEST_F(ServerTest, RapidResetEndsTheConnection) {
  Start([](ServerOptions& o) {
    o.limits.stream_reset_burst = 50;
    o.limits.stream_reset_rate = 1;
  });
  RawClient client(server_->port());
  client.Send(h2::Hello());
  for (uint32_t id = 1; id < 400; id += 2) {
    client.Send(h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, id, h2::Request("GET", "/hello")) +
                h2::Frame(h2::kRst, 0, id, h2::Number(8)));
  }
  EXPECT_TRUE(h2::WaitFor(client, h2::kGoaway).has_value());
}

TEST_F(ServerTest, PingAndSettingsFloodsEndTheConnection) {
  Start([](ServerOptions& o) {
    o.limits.control_frame_burst = 50;
    o.limits.control_frame_rate = 1;
  });
  for (const std::string& frame : {h2::Frame(h2::kPing, 0, 0, "12345678"), h2::Frame(h2::kSettings, 0, 0, "")}) {
    RawClient client(server_->port());
    client.Send(h2::Hello());
    for (int i = 0; i < 200; ++i) client.Send(frame);
    const auto goaway = h2::WaitFor(client, h2::kGoaway);
    ASSERT_TRUE(goaway.has_value());
    EXPECT_EQ(goaway->payload.substr(4, 4), h2::Number(11)) << "ENHANCE_YOUR_CALM";
  }
}

TEST_F(ServerTest, AContinuationFloodEndsTheConnection) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, 0, 1, h2::Request("GET", "/hello")));
  for (int i = 0; i < 2000; ++i) {
    if (!client.Send(h2::Frame(h2::kContinuation, 0, 1, h2::Field("a", "b")))) break;
  }
  client.ReadToEnd();
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, OversizeHttp2HeadsAreAnswered431) {
  Start([](ServerOptions& o) { o.limits.max_headers = 10; });
  RawClient client(server_->port());
  std::string head = h2::Request("GET", "/hello");
  for (int i = 0; i < 20; ++i) head += h2::Field(absl::StrCat("x-", i), "v");
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, head));
  const auto answer = h2::WaitFor(client, h2::kHeaders, 1);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->flags & h2::kEndStream, h2::kEndStream);
}

TEST_F(ServerTest, DrainSaysGoawayAndFinishesStreams) {
  Start();
  RawClient client(server_->port());
  client.Send(h2::Hello() + h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 1, h2::Request("GET", "/wait")));
  shared_.reached.WaitForNotification();
  absl::Status drained;
  std::thread control([&] { drained = server_->Drain(absl::Seconds(10)); });
  EXPECT_TRUE(h2::WaitFor(client, h2::kGoaway).has_value());
  // Sent before the client could know: still served.
  client.Send(h2::Frame(h2::kHeaders, h2::kEndStream | h2::kEndHeaders, 3, h2::Request("GET", "/hello")));
  EXPECT_TRUE(h2::WaitFor(client, h2::kData, 3).has_value());
  shared_.hold = false;
  const auto data = h2::WaitFor(client, h2::kData, 1);
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->payload, "waited");
  client.ReadToEnd();
  client.Close();
  control.join();
  EXPECT_TRUE(drained.ok()) << drained;
}

TEST_F(ServerTest, CountsChunksOfALargeBodyUnderFlowControl) {
  Start();
  RawClient client(server_->port());
  const std::string body(3 << 20, 'b');
  client.Send(absl::StrCat("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: ", body.size(), "\r\n\r\n"));
  client.Send(body);
  EXPECT_THAT(client.ReadUntil("\r\n\r\n3145728"), HasSubstr("3145728"));
}

// Answers with the number of its loop.
class LoopHandler final : public Handler {
 public:
  explicit LoopHandler(const Loop& loop) : loop_(loop) {}
  void OnExchange(std::shared_ptr<Exchange> exchange) override {
    exchange->Respond(Text(200, absl::StrCat("loop ", loop_.index())));
  }

 private:
  const Loop& loop_;
};

TEST(ServerSocketTest, DealsConnectionsOfASocketOutInTurn) {
  const auto socket = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(socket.ok()) << socket.status();
  ServerOptions options;
  options.listening_socket = socket->first;
  options.threads = 3;
  auto server = Server::Start(options, [](Loop& loop) { return std::make_unique<LoopHandler>(loop); });
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->port(), socket->second);
  for (int i = 0; i < 7; ++i) {
    RawClient client((*server)->port());
    client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(client.ReadToEnd(), HasSubstr(absl::StrCat("loop ", i % 3)));
  }
  EXPECT_TRUE((*server)->Drain(absl::Seconds(10)).ok());
  EXPECT_FALSE(RawClient((*server)->port()).connected());
}

TEST(ServerSocketTest, ClosesASocketItCannotServe) {
  const auto socket = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(socket.ok()) << socket.status();
  ServerOptions options;
  options.listening_socket = socket->first;
  options.tls = true;
  options.tls_options.certificate_file = "/nonexistent";
  EXPECT_FALSE(Server::Start(options, [](Loop& loop) { return std::make_unique<LoopHandler>(loop); }).ok());
  EXPECT_FALSE(RawClient(socket->second).connected());
}

}  // namespace
}  // namespace alcove::net
