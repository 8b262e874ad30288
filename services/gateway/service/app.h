#pragma once

#include <memory>

#include "services/gateway/access/authenticator.h"
#include "services/gateway/flows/flow_env.h"
#include "services/gateway/flows/keys.h"
#include "services/gateway/net/exchange.h"
#include "services/gateway/service/dispatcher.h"
#include "services/gateway/service/grpc_door.h"
#include "services/gateway/service/rest_door.h"
#include "services/gateway/service/shared_state.h"
#include "services/gateway/service/upstreams.h"
#include "services/gateway/upstream/grpc_proxy.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// The application of one loop: its connections to the processes behind, its caches, its doors.
class App final : public Handler {
 public:
  // `shared` outlives the app.
  App(Loop& loop, SharedState& shared);
  ~App() override;

  void OnExchange(std::shared_ptr<Exchange> exchange) override;
  StreamHandler* OnGrpcStream(ServerStream& stream) override;

 private:
  GrpcProxyOptions ProxyOptions();
  void Record(const GrpcRecord& record);
  asio::awaitable<void> WatchReadiness();

  Loop& loop_;
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
};

}  // namespace alcove::gateway
