#include "libs/rpc/method.h"

#include <exception>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/rpc/context.h"

namespace alcove::rpc {
namespace {

absl::Status FromException(const RequestContext& ctx, absl::string_view method, absl::string_view what) {
  LogError(ctx, "exception in a call", {{"method", method}, {"what", what}});
  return absl::InternalError(
      absl::StrCat("internal error; the log of the service has it under request id ", ctx.request_id()));
}

}  // namespace

absl::Status WithoutExceptions(const RequestContext& ctx, absl::string_view method,
                               absl::FunctionRef<absl::Status()> work) {
  try {
    return work();
  } catch (const std::exception& e) {
    return FromException(ctx, method, e.what());
  } catch (...) {
    return FromException(ctx, method, "not a std::exception");
  }
}

MethodRecorder::MethodRecorder(Registry& registry, absl::string_view service, absl::string_view method)
    : name_(absl::StrCat(service, "/", method)),
      service_(service),
      method_(method),
      duration_(registry
                    .AddHistogramFamily("alcove_rpc_server_duration_seconds", "Time to answer a gRPC call.",
                                        LatencyBuckets(), {"service", "method"})
                    .With({service, method})),
      in_flight_(
          registry.AddGaugeFamily("alcove_rpc_server_in_flight", "gRPC calls being worked on.", {"service", "method"})
              .With({service, method})) {
  CounterFamily& requests = registry.AddCounterFamily("alcove_rpc_server_requests_total", "gRPC calls answered.",
                                                      {"service", "method", "code"});
  for (size_t code = 0; code < by_code_.size(); ++code) {
    by_code_[code] = &requests.With({service, method, StatusCodeName(static_cast<absl::StatusCode>(code))});
  }
}

int64_t MethodRecorder::Begin() {
  in_flight_.Increment();
  return RealClock()->MonotonicNanos();
}

void MethodRecorder::End(const RequestContext& ctx, int64_t begun, const absl::Status& status) {
  const absl::Duration took = absl::Nanoseconds(RealClock()->MonotonicNanos() - begun);
  in_flight_.Decrement();
  if (ctx.trace().sampled()) {
    duration_.ObserveWithExemplar(absl::ToDoubleSeconds(took), ctx.trace());
  } else {
    duration_.Observe(took);
  }
  const auto code = static_cast<size_t>(status.code());
  by_code_[code < by_code_.size() ? code : static_cast<size_t>(absl::StatusCode::kUnknown)]->Increment();
  if (LogEnabled(LogLevel::kDebug)) {
    LogDebug(ctx, "rpc", {{"method", name_}, {"status", status}, {"took", took}});
  }
}

Finish::~Finish() {
  if (end_ != nullptr) end_(absl::InternalError("the call was given up without an answer"));
}

void Finish::operator()(absl::Status status) {
  if (end_ == nullptr) return;
  std::exchange(end_, nullptr)(std::move(status));
}

RequestContext MakeCallContext(const ServerCall& call, const MethodOptions& options, CancellationToken cancellation) {
  RequestContext ctx = ContextFromCall(call, std::move(cancellation));
  return ctx.has_deadline() ? ctx : ctx.WithTimeout(options.default_timeout);
}

UnaryMethod::UnaryMethod(const MethodOptions& options, absl::string_view service, absl::string_view method)
    : options_(options), recorder_(*options.registry, service, method) {}

void UnaryMethod::Handle(UnaryCall* call, absl::AnyInvocable<absl::Status(const RequestContext&)> work) {
  const int64_t begun = recorder_.Begin();
  auto run = [this, call, begun, ctx = MakeCallContext(call->call(), options_, call->cancellation()),
              work = std::move(work)]() mutable {
    // A call that waited past its deadline is not worth beginning.
    absl::Status status = ctx.Check();
    if (status.ok()) status = WithoutExceptions(ctx, recorder_.name(), [&] { return work(ctx); });
    work = nullptr;  // what it captured goes before the call does
    recorder_.End(ctx, begun, status);
    call->Finish(std::move(status));
  };
  if (options_.pool != nullptr) {
    options_.pool->Submit(std::move(run));
  } else {
    run();
  }
}

void UnaryMethod::HandleAsync(UnaryCall* call,
                              absl::AnyInvocable<void(const RequestContext&, rpc::Finish finish)> work) {
  const int64_t begun = recorder_.Begin();
  const RequestContext ctx = MakeCallContext(call->call(), options_, call->cancellation());
  rpc::Finish finish([this, call, begun, ctx](absl::Status status) {
    recorder_.End(ctx, begun, status);
    call->Finish(std::move(status));
  });
  const absl::Status status = WithoutExceptions(ctx, recorder_.name(), [&] {
    work(ctx, std::move(finish));
    return absl::OkStatus();
  });
  // Thrown before `finish` was taken: it is still ours.
  if (!status.ok()) finish(status);
}

}  // namespace alcove::rpc
