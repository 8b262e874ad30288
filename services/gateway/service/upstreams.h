#pragma once

#include <string>
#include <vector>

#include "services/gateway/flows/backends.h"
#include "services/gateway/flows/suite_status.h"
#include "services/gateway/upstream/grpc_client.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

// The flows' backends over the upstream pools of one loop.
class GrpcBackends final : public Backends {
 public:
  explicit GrpcBackends(UpstreamSet& upstreams) : upstreams_(upstreams), client_(upstreams) {}

  asio::awaitable<absl::StatusOr<std::string>> Call(RequestContext ctx, BackendMethod method, std::string request,
                                                    absl::Duration timeout) override;
  bool Has(const char* upstream) const override { return upstreams_.Find(upstream) != nullptr; }

 private:
  UpstreamSet& upstreams_;
  GrpcClient client_;
};

// Asks single processes: a pool of one endpoint each, connected when first asked, without health checks or ejection, so
// that the answer is about the process and not about what the balancer thinks of it.
class EndpointProbe final : public ProcessProbe {
 public:
  // `tls` as in UpstreamOptions.
  EndpointProbe(net::Loop& loop, std::vector<KnownProcess> processes, std::shared_ptr<asio::ssl::context> tls);
  void Stop();

  asio::awaitable<absl::StatusOr<std::string>> Ask(RequestContext ctx, KnownProcess process, std::string method,
                                                   std::string request, absl::Duration timeout) override;

 private:
  UpstreamSet pools_;
  GrpcClient client_;
  bool started_ = false;
};

}  // namespace alcove::gateway
