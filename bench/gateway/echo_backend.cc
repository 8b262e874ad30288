// A gRPC backend that sends every message back: the far end of the proxy benchmark. One thread, no policies.
//
// usage: alcove-bench-echo PORT

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "libs/net/server.h"
#include "libs/net/server_stream.h"

namespace {

namespace net = alcove::net;

// Answers one stream: what comes in goes out, then an OK.
class Echo final : public net::StreamHandler {
 public:
  explicit Echo(std::vector<std::unique_ptr<Echo>>* free) : free_(free) {
    head_.AddLower("content-type", "application/grpc");
    trailers_.AddLower("grpc-status", "0");
  }
  void Begin(net::ServerStream& stream) {
    stream_ = &stream;
    started_ = false;
  }
  void OnData(std::string_view bytes) override {
    Start();
    stream_->SendData(bytes);
    stream_->Consume(bytes.size());
  }
  void OnEnd() override {
    Start();
    stream_->SendEnd(&trailers_);
  }
  void OnDrained() override {}
  void OnClose(uint32_t) override { free_->emplace_back(this); }

 private:
  void Start() {
    if (!started_) stream_->SendHeaders(200, head_, false);
    started_ = true;
  }
  std::vector<std::unique_ptr<Echo>>* free_;
  net::ServerStream* stream_ = nullptr;
  bool started_ = false;
  net::HeaderList head_;
  net::HeaderList trailers_;
};

class EchoHandler final : public net::Handler {
 public:
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override {
    net::HttpResponse response;
    response.status = 404;
    exchange->Respond(std::move(response));
  }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override {
    // An echo is no answer to a health check: without a health service the backend counts as healthy.
    if (stream.path().substr(0, 13) == "/grpc.health.") return nullptr;
    Echo* echo;
    if (free_.empty()) {
      echo = new Echo(&free_);
    } else {
      echo = free_.back().release();
      free_.pop_back();
    }
    echo->Begin(stream);
    return echo;
  }

 private:
  std::vector<std::unique_ptr<Echo>> free_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  net::ServerOptions options;
  options.port = static_cast<uint16_t>(std::atoi(argv[1]));
  options.threads = 1;
  auto server = net::Server::Start(options, [](net::Loop&) { return std::make_unique<EchoHandler>(); });
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  std::printf("listening on %u\n", (*server)->port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&set, &signal);
  return 0;
}
