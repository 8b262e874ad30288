#pragma once

#include <memory>
#include <utility>

#include "libs/net/exchange.h"
#include "services/gateway/access/authenticator.h"
#include "services/gateway/flows/flow_env.h"
#include "services/gateway/flows/keys.h"
#include "services/gateway/service/dispatcher.h"
#include "services/gateway/service/grpc_door.h"
#include "services/gateway/service/rest_door.h"
#include "services/gateway/service/shared_state.h"
#include "services/gateway/service/upstreams.h"
#include "services/gateway/upstream/grpc_proxy.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// What one loop works with: its connections to the processes behind, its caches, its doors. Every coroutine of a
// request holds a reference, so that none wakes up in a world that is gone when the server stops.
class AppCore final : public std::enable_shared_from_this<AppCore> {
 public:
  AppCore(net::Loop& loop, SharedState& shared);

  void Start();
  // Ends the connections; calls in flight fail, and their coroutines end with them.
  void Stop();
  void OnExchange(std::shared_ptr<net::Exchange> exchange);
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream);

 private:
  GrpcProxyOptions ProxyOptions();
  void Record(const GrpcRecord& record);
  // Ends when the core has stopped.
  static asio::awaitable<void> WatchReadiness(std::weak_ptr<AppCore> weak, asio::any_io_executor executor);

  net::Loop& loop_;
  SharedState& shared_;
  UpstreamSet upstreams_;
  GrpcBackends backends_;
  EndpointProbe probe_;
  FlowEnv flows_;
  KeyEnv keys_;
  Authenticator authenticator_;
  Dispatcher dispatcher_;
  RestDoor rest_;
  GrpcDoor grpc_;
  GrpcProxy proxy_;
  // What OnGrpcStream found out about the stream it hands to the proxy, for the callbacks the proxy makes in that call.
  std::shared_ptr<const Caller> accepted_caller_;
  absl::Status accepted_status_;
  const MethodInfo* accepted_method_ = nullptr;
  bool stopped_ = false;
};

// The application of one loop.
class App final : public net::Handler {
 public:
  // `shared` outlives the app.
  App(net::Loop& loop, SharedState& shared) : core_(std::make_shared<AppCore>(loop, shared)) { core_->Start(); }
  ~App() override { core_->Stop(); }

  void OnExchange(std::shared_ptr<net::Exchange> exchange) override { core_->OnExchange(std::move(exchange)); }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override { return core_->OnGrpcStream(stream); }

 private:
  std::shared_ptr<AppCore> core_;
};

}  // namespace alcove::gateway
