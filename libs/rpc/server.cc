#include "libs/rpc/server.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"
#include "libs/net/exchange.h"
#include "libs/rpc/reflection.h"

namespace alcove::rpc {
namespace {

net::NetLimits Limits(const ServerOptions& options) {
  net::NetLimits limits;
  limits.max_concurrent_streams = static_cast<uint32_t>(options.max_concurrent_streams);
  // Callers are processes of the suite: they keep their connections, and what they send is large. A peer that is gone
  // is noticed by TCP keepalive.
  limits.keep_alive = absl::Hours(24 * 365);
  // A hedged search gives up the slower of two calls: resets are everyday traffic here, not an attack.
  limits.stream_reset_burst = limits.stream_reset_rate = 1'000'000;
  limits.control_frame_burst = limits.control_frame_rate = 1'000'000;
  limits.stream_window = 1 << 20;
  limits.connection_window = 16 << 20;
  return limits;
}

}  // namespace

int DefaultLoopCount() { return std::clamp(AvailableCpus() / 4, 1, 4); }

// One for each loop.
class Server::CallHandler final : public net::Handler {
 public:
  CallHandler(net::Loop& loop, const Server& server) : loop_(loop), server_(server) {}

  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override {
    auto call = std::make_shared<ServerCall>(loop_, stream, server_.max_message_bytes_, server_.calls_);
    // The stream keeps it from here on.
    const auto method = server_.methods_.find(absl::string_view(stream.path().data(), stream.path().size()));
    if (method != server_.methods_.end()) {
      method->second(call);
    } else {
      call->Refuse(absl::UnimplementedError(absl::StrCat(
          "there is no method ", absl::string_view(stream.path().data(), stream.path().size()).substr(0, 256))));
    }
    return call.get();
  }

  void OnExchange(std::shared_ptr<net::Exchange> exchange) override {
    net::HttpResponse response;
    response.status = 415;
    response.headers.Add("content-type", "text/plain; charset=utf-8");
    response.body = "This port speaks gRPC.\n";
    exchange->Respond(std::move(response));
  }

 private:
  net::Loop& loop_;
  const Server& server_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, std::vector<Service*> services) {
  ALCOVE_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(options.listen));
  if (address.host.empty()) address.host = "0.0.0.0";
  std::unique_ptr<Server> server(new Server);
  server->max_message_bytes_ = options.max_message_bytes;

  net::ServerOptions net_options;
  net_options.loops = options.loops;
  net_options.threads = DefaultLoopCount();
  net_options.limits = Limits(options);
  if (options.tls.enabled()) {
    ALCOVE_RETURN_IF_ERROR(CheckServerTls(options.tls));
    net_options.tls = true;
    net_options.tls_options = {options.tls.certificate, options.tls.private_key, options.tls.ca};
  }

  std::vector<std::string> names;
  const auto add = [&](Service* service) {
    server->methods_.insert(service->methods().begin(), service->methods().end());
    names.push_back(service->name());
  };
  for (Service* service : services) add(service);
  server->health_ = std::make_unique<HealthService>(names);
  add(server->health_.get());
  server->reflection_ = MakeReflectionServices(names);
  for (const auto& service : server->reflection_) add(service.get());

  using Listener = std::pair<int, uint16_t>;
  ALCOVE_ASSIGN_OR_RETURN(const Listener listener, ListenTcp(address));
  net_options.listening_socket = listener.first;
  server->port_ = address.port = listener.second;
  server->address_ = address.ToString();
  ALCOVE_ASSIGN_OR_RETURN(server->net_,
                          net::Server::Start(std::move(net_options), [raw = server.get()](net::Loop& loop) {
                            return std::make_unique<CallHandler>(loop, *raw);
                          }));
  return server;
}

Server::~Server() {
  if (net_ == nullptr) return;
  (void)Drain(absl::Now());
  // Their ends run on the loops.
  calls_->WaitForNone();
}

void Server::SetServing(bool serving) { health_->SetServing(serving); }

absl::Status Server::Drain(absl::Time deadline) {
  if (drained_) return absl::OkStatus();
  drained_ = true;
  health_->Shutdown();
  const absl::Status drained = net_->Drain(std::max(deadline - absl::Now(), absl::ZeroDuration()));
  calls_->WaitForNone();
  if (drained.ok()) return absl::OkStatus();
  return absl::DeadlineExceededError("calls were still in flight at the end of the drain and were cancelled");
}

}  // namespace alcove::rpc
