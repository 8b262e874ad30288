#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>

#include "absl/strings/str_cat.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/server.h"
#include "libs/net/server_stream.h"
#include "libs/net/views.h"

// A gRPC backend for tests that behaves as its method name says.
namespace alcove::gateway {

struct BackendLog {
  std::atomic<int> calls{0};
  std::atomic<int> closed_early{0};  // streams the client side reset before they were complete
  std::atomic<int> health_checks{0};
  std::atomic<bool> serving{true};
  std::atomic<bool> held{false};
  std::atomic<int64_t> sent{0};
};

// /t.T/Echo answers with the request's messages; /t.T/Hang never answers; /t.T/Fail answers Trailers-Only
// INVALID_ARGUMENT with details; /t.T/Unavailable the same with UNAVAILABLE; /t.T/Meta answers with the request's
// metadata as text; /t.T/Refuse resets with REFUSED_STREAM; /t.T/Cut resets in the middle of a response; /t.T/Http404
// is no gRPC answer; /t.T/Flood sends without end; /t.T/Twice sends two messages; /t.T/Nothing none.
class BackendStream final : public net::StreamHandler {
 public:
  BackendStream(net::ServerStream& stream, BackendLog& log) : stream_(stream), log_(log), path_(stream.path()) {
    ++log_.calls;
    head_.AddLower("content-type", "application/grpc");
    if (path_ == "/t.T/Refuse") stream_.Reset(7);
    if (path_ == "/t.T/Fail" || path_ == "/t.T/Unavailable") {
      absl::Status status =
          path_ == "/t.T/Fail" ? absl::InvalidArgumentError("bad: 100% wrong") : absl::UnavailableError("busy");
      net::AppendGrpcTrailers(status, head_);
      stream_.SendHeaders(200, head_, true);
    }
    if (path_ == "/t.T/Http404") stream_.SendHeaders(404, {}, true);
  }
  void OnData(std::string_view bytes) override {
    stream_.Consume(bytes.size());
    if (path_ == "/t.T/Echo") {
      Start();
      stream_.SendData(bytes);
    }
  }
  void OnEnd() override {
    if (path_ == "/t.T/Echo") {
      Start();
      End();
    } else if (path_ == "/t.T/Meta") {
      std::string text;
      for (const net::HeaderList::Field f : stream_.headers()) {
        absl::StrAppend(&text, net::AbslView(f.name), "=", net::AbslView(f.value), "\n");
      }
      Start();
      Message(text);
      End();
    } else if (path_ == "/t.T/Cut") {
      Start();
      stream_.SendData(std::string_view("\0\0\0\0\x09half", 9));
      // After the bytes have left: a reset in the same turn would overtake them.
      loop_alive_ = std::make_shared<bool>(true);
      net::Loop& loop = stream_.loop();
      loop.Post([this, &loop, alive = loop_alive_] {
        loop.Post([this, alive] {
          if (*alive) stream_.Reset(2);
        });
      });
    } else if (path_ == "/t.T/Flood") {
      Start();
      Fill();
    } else if (path_ == "/t.T/Twice") {
      Start();
      Message("one");
      Message("two");
      End();
    } else if (path_ == "/t.T/Nothing") {
      Start();
      End();
    }
  }
  void OnDrained() override {
    if (path_ == "/t.T/Flood") Fill();
  }
  void OnClose(uint32_t error_code) override {
    if (error_code != 0) ++log_.closed_early;
    if (loop_alive_) *loop_alive_ = false;
    delete this;
  }

 private:
  void Start() {
    if (started_) return;
    started_ = true;
    head_.AddLower("x-alcove-secret", "not for clients");
    stream_.SendHeaders(200, head_, false);
  }
  void Message(std::string_view text) {
    std::string frame;
    net::AppendGrpcMessage(text, frame);
    stream_.SendData(frame);
    log_.sent += static_cast<int64_t>(frame.size());
  }
  void Fill() {
    while (stream_.buffered() < kStreamHighWater + 1) Message(std::string(16 * 1024, 'f'));
  }
  void End() {
    net::HeaderList trailers;
    net::AppendGrpcTrailers(absl::OkStatus(), trailers);
    trailers.AddLower("x-trailer", "kept");
    stream_.SendEnd(&trailers);
  }

  net::ServerStream& stream_;
  BackendLog& log_;
  const std::string path_;
  net::HeaderList head_;
  bool started_ = false;
  std::shared_ptr<bool> loop_alive_;
};

class BackendHandler final : public net::Handler {
 public:
  explicit BackendHandler(BackendLog& log) : log_(log) {}
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override {
    ++log_.health_checks;
    std::string body;
    net::AppendGrpcMessage(log_.serving ? "\x08\x01" : "\x08\x02", body);
    exchange->StartResponse(200, [] {
      net::HeaderList h;
      h.Add("content-type", "application/grpc");
      return h;
    }());
    asio::co_spawn(exchange->executor(), Answer(exchange, body), [](std::exception_ptr) {});
  }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override {
    if (stream.path() == "/grpc.health.v1.Health/Check") return nullptr;
    return new BackendStream(stream, log_);
  }

 private:
  static asio::awaitable<void> Answer(std::shared_ptr<net::Exchange> exchange, std::string body) {
    const absl::Status written = co_await exchange->Write(std::move(body));
    if (!written.ok()) co_return;
    net::HeaderList trailers;
    net::AppendGrpcTrailers(absl::OkStatus(), trailers);
    exchange->Finish(std::move(trailers));
  }
  BackendLog& log_;
};

inline std::unique_ptr<net::Server> StartBackend(BackendLog& log, uint16_t port = 0, net::ServerOptions options = {}) {
  options.port = port;
  options.threads = 1;
  auto server = net::Server::Start(options, [&log](net::Loop&) { return std::make_unique<BackendHandler>(log); });
  return server.ok() ? *std::move(server) : nullptr;
}

// Polls `condition`, which another thread makes true.
inline bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

}  // namespace alcove::gateway
