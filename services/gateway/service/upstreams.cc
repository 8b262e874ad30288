#include "services/gateway/service/upstreams.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace alcove::gateway {
namespace {

std::string ProbeName(const KnownProcess& process) { return absl::StrCat(process.service, "@", process.address); }

}  // namespace

asio::awaitable<absl::StatusOr<std::string>> GrpcBackends::Call(RequestContext ctx, BackendMethod method,
                                                                std::string request, absl::Duration timeout) {
  if (!Has(method.upstream)) {
    co_return absl::UnavailableError(absl::StrCat("no ", method.upstream, " process is configured"));
  }
  CallOptions options;
  options.idempotent = method.idempotent;
  options.timeout = timeout;
  std::string upstream = method.upstream;
  std::string path = method.path;
  co_return co_await client_.Unary(std::move(ctx), std::move(upstream), std::move(path), std::move(request),
                                   std::move(options));
}

EndpointProbe::EndpointProbe(net::Loop& loop, std::vector<KnownProcess> processes,
                             std::shared_ptr<asio::ssl::context> tls)
    : pools_(loop), client_(pools_) {
  for (const KnownProcess& process : processes) {
    UpstreamOptions options;
    options.name = ProbeName(process);
    options.endpoints = {process.address};
    options.tls = tls;
    options.connect_timeout = absl::Milliseconds(500);
    options.backoff_max = absl::Milliseconds(200);
    options.active_health = false;
    options.health.eject_after = 0;
    options.breaker.failures_to_open = std::numeric_limits<uint32_t>::max();
    options.retry.max_attempts = 1;
    pools_.Add(std::move(options));
  }
}

void EndpointProbe::Stop() {
  if (started_) pools_.Stop();
}

asio::awaitable<absl::StatusOr<std::string>> EndpointProbe::Ask(RequestContext ctx, KnownProcess process,
                                                                std::string method, std::string request,
                                                                absl::Duration timeout) {
  if (!std::exchange(started_, true)) pools_.Start();
  CallOptions options;
  options.idempotent = true;
  options.timeout = timeout;
  std::string name = ProbeName(process);
  co_return co_await client_.Unary(std::move(ctx), std::move(name), std::move(method), std::move(request),
                                   std::move(options));
}

}  // namespace alcove::gateway
