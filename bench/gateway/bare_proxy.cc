// The gateway's gRPC data path with a key check, rate limit and metrics, and nothing else of the gateway: what the
// benchmark measures where the whole binary has not been built, and a floor to compare it with.
//
// usage: alcove-bench-proxy LISTEN_PORT BACKEND_ADDRESS API_KEY

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "libs/net/server.h"
#include "libs/net/server_stream.h"
#include "libs/net/views.h"
#include "services/gateway/upstream/grpc_proxy.h"

namespace {

namespace gateway = alcove::gateway;
namespace net = alcove::net;

class ProxyHandler final : public net::Handler {
 public:
  ProxyHandler(net::Loop& loop, const std::string& backend, const std::string& key) : upstreams_(loop) {
    gateway::UpstreamOptions options;
    options.name = "echo";
    options.endpoints = {backend};
    gateway::UpstreamPool& pool = upstreams_.Add(options);
    auto identity = std::make_shared<gateway::Identity>();
    identity->tenant = "bench";
    identity->request_limit = alcove::Gcra(100e6, 100e6);
    keys_[key] = identity;
    gateway::GrpcProxyOptions proxy;
    proxy.route = [&pool](std::string_view) { return &pool; };
    proxy.authenticate = [this](const net::ServerStream& stream) -> absl::StatusOr<std::shared_ptr<gateway::Identity>> {
      constexpr std::string_view kBearer = "Bearer ";
      std::string_view key = stream.headers().Get("authorization");
      if (key.substr(0, kBearer.size()) == kBearer) key.remove_prefix(kBearer.size());
      const auto found = keys_.find(net::AbslView(key));
      if (found == keys_.end()) return absl::UnauthenticatedError("unknown API key");
      return found->second;
    };
    proxy.default_timeout = absl::Seconds(30);
    proxy_ = std::make_unique<gateway::GrpcProxy>(loop, std::move(proxy));
    upstreams_.Start();
  }
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override {
    net::HttpResponse response;
    response.status = 404;
    exchange->Respond(std::move(response));
  }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override { return proxy_->Accept(stream); }

 private:
  gateway::UpstreamSet upstreams_;
  absl::flat_hash_map<std::string, std::shared_ptr<gateway::Identity>> keys_;
  std::unique_ptr<gateway::GrpcProxy> proxy_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s LISTEN_PORT BACKEND_ADDRESS API_KEY\n", argv[0]);
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
  const std::string backend = argv[2];
  const std::string key = argv[3];
  auto server =
      net::Server::Start(options, [&](net::Loop& loop) { return std::make_unique<ProxyHandler>(loop, backend, key); });
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  std::printf("listening on %u\n", (*server)->port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&set, &signal);
  const absl::Status drained = (*server)->Drain(absl::Seconds(5));
  return drained.ok() ? 0 : 1;
}
