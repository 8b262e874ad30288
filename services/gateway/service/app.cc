#include "services/gateway/service/app.h"

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/match.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/gateway/rest/text_view.h"
#include "services/gateway/service/pages.h"

namespace alcove::gateway {
namespace {

// The proxy's identity of a caller. Limits are counted in the caller itself, which all loops share, so the proxy's own
// are set out of reach.
struct CallerIdentity final : Identity {
  std::shared_ptr<const Caller> caller;
};

constexpr double kNoLimit = 1e9;
constexpr auto kReadinessPoll = std::chrono::milliseconds(250);

// What a coroutine of an exchange did not expect: our own bug, told and answered, not passed on.
void ReportEscape(const std::shared_ptr<net::Exchange>& exchange, std::exception_ptr error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    LogError(exchange->context(), "an exception escaped a request", {{"what", e.what()}});
  } catch (...) {
    LogError(exchange->context(), "an unknown exception escaped a request");
  }
}

Dispatcher::Parts PartsOf(SharedState& shared, FlowEnv& flows, KeyEnv& keys, ProcessProbe& probe) {
  return {&flows, &keys, &probe, shared.processes(), shared.options.address, shared.options.version, shared.started_at};
}

}  // namespace

AppCore::AppCore(net::Loop& loop, SharedState& shared)
    : loop_(loop),
      shared_(shared),
      upstreams_(loop, &shared.siblings),
      backends_(upstreams_),
      probe_(loop, shared.processes(), shared.options.upstream_tls),
      flows_(backends_, loop.executor(), shared.options.flows, &shared.metrics),
      keys_{shared.options.use_keys ? shared.store : nullptr, shared.directory, &shared.workers},
      authenticator_(shared.options.use_keys ? shared.directory : nullptr, &shared.workers),
      dispatcher_(PartsOf(shared, flows_, keys_, probe_)),
      rest_(shared, authenticator_, dispatcher_, flows_, upstreams_),
      grpc_(shared, authenticator_, dispatcher_, upstreams_),
      proxy_(loop, ProxyOptions()) {
  for (const UpstreamOptions& options : shared_.options.upstreams) {
    if (!options.endpoints.empty()) upstreams_.Add(options);
  }
}

void AppCore::Start() {
  flows_.cache.KeepAlive(weak_from_this());
  upstreams_.Start();
  if (loop_.index() == 0) {
    asio::co_spawn(loop_.executor(), WatchReadiness(weak_from_this(), loop_.executor()), asio::detached);
  }
}

void AppCore::Stop() {
  stopped_ = true;
  upstreams_.Stop();
  probe_.Stop();
}

asio::awaitable<void> AppCore::WatchReadiness(std::weak_ptr<AppCore> weak, asio::any_io_executor executor) {
  for (;;) {
    {
      const std::shared_ptr<AppCore> core = weak.lock();
      if (core == nullptr || core->stopped_) co_return;
      core->shared_.ready.store(ReadReadiness(core->upstreams_, core->shared_.draining.load()).ready);
    }
    asio::steady_timer timer(executor, kReadinessPoll);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void AppCore::OnExchange(std::shared_ptr<net::Exchange> exchange) {
  const net::HttpRequest& request = exchange->request();
  const bool grpc = request.version == net::HttpVersion::kHttp2 &&
                    absl::StartsWith(ToAbsl(request.headers.Get("content-type")), "application/grpc");
  auto done = [exchange, core = shared_from_this()](std::exception_ptr error) { ReportEscape(exchange, error); };
  if (grpc) {
    asio::co_spawn(loop_.executor(), grpc_.Serve(exchange), std::move(done));
  } else {
    asio::co_spawn(loop_.executor(), rest_.Serve(exchange), std::move(done));
  }
}

net::StreamHandler* AppCore::OnGrpcStream(net::ServerStream& stream) {
  const MethodInfo* info = shared_.methods->Find(stream.path());
  if (info == nullptr || !Dispatcher::MayBypass(*info) || upstreams_.Find(info->upstream) == nullptr) return nullptr;
  Authenticator::Answer answer = authenticator_.Check(stream.headers());
  if (answer.verdict == Authenticator::Verdict::kAskStore) return nullptr;
  accepted_caller_ = std::move(answer.caller);
  accepted_status_ = std::move(answer.status);
  accepted_method_ = info;
  return proxy_.Accept(stream);
}

GrpcProxyOptions AppCore::ProxyOptions() {
  GrpcProxyOptions options;
  options.route = [this](std::string_view path) -> UpstreamPool* {
    const MethodInfo* info = shared_.methods->Find(path);
    return info != nullptr && Dispatcher::MayBypass(*info) ? upstreams_.Find(info->upstream) : nullptr;
  };
  options.authenticate = [this](const net::ServerStream&) -> absl::StatusOr<std::shared_ptr<Identity>> {
    if (accepted_caller_ == nullptr) {
      shared_.metrics.refused.With({"unauthenticated"}).Increment();
      return accepted_status_;
    }
    auto identity = std::make_shared<CallerIdentity>();
    identity->tenant = accepted_caller_->tenant;
    identity->key_id = accepted_caller_->key_id;
    identity->request_limit = Gcra(kNoLimit, kNoLimit);
    identity->caller = std::move(accepted_caller_);
    return std::shared_ptr<Identity>(std::move(identity));
  };
  options.authorize = [this](const net::ServerStream&, Identity& identity) -> absl::Status {
    const Caller& caller = *static_cast<CallerIdentity&>(identity).caller;
    if (absl::Status status = CheckScope(caller, accepted_method_->scope); !status.ok()) {
      shared_.metrics.refused.With({"scope"}).Increment();
      return status;
    }
    if (caller.usage == nullptr) return absl::OkStatus();
    const GcraDecision decision = caller.usage->Take(loop_.now_ns());
    if (decision.allowed) return absl::OkStatus();
    shared_.metrics.refused.With({"rate"}).Increment();
    return RateLimited(*caller.usage, decision);
  };
  options.record = [this](const GrpcRecord& record) { Record(record); };
  options.registry = &shared_.metrics.registry;
  options.default_timeout = shared_.options.times.usual;
  options.max_timeout = shared_.options.times.longest;
  options.idempotent = [this](std::string_view path) {
    const MethodInfo* info = shared_.methods->Find(path);
    return info != nullptr && info->idempotent;
  };
  return options;
}

void AppCore::Record(const GrpcRecord& record) {
  const AccessLog mode = shared_.options.access_log;
  if (mode == AccessLog::kNone || (mode == AccessLog::kErrors && record.code == absl::StatusCode::kOk)) return;
  LogInfo("grpc call", {{"method", ToAbsl(record.path)},
                        {"code", StatusCodeName(record.code)},
                        {"ms", absl::ToDoubleMilliseconds(record.latency)},
                        {"request_id", ToAbsl(record.request_id)},
                        {"peer", ToAbsl(record.peer_address)},
                        {"endpoint", ToAbsl(record.endpoint)},
                        {"attempts", record.attempts},
                        {"key", record.identity == nullptr ? "" : record.identity->key_id}});
}

}  // namespace alcove::gateway
