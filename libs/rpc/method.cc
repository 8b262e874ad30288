#include "libs/rpc/method.h"

#include <exception>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/clock.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"

namespace alcove::rpc {
namespace {

absl::Status FromException(const RequestContext& ctx, absl::string_view method, absl::string_view what) {
  LogError(ctx, "exception in a call", {{"method", method}, {"what", what}});
  return absl::InternalError(
      absl::StrCat("internal error; the log of the service has it under request id ", ctx.request_id()));
}

// Runs code that must not throw but may call libraries that do.
template <typename Work>
absl::Status WithoutExceptions(const RequestContext& ctx, absl::string_view method, Work work) {
  try {
    return work();
  } catch (const std::exception& e) {
    return FromException(ctx, method, e.what());
  } catch (...) {
    return FromException(ctx, method, "not a std::exception");
  }
}

}  // namespace

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

RequestContext MakeCallContext(const grpc::CallbackServerContext& server, const MethodOptions& options,
                               const CancellationSource& source) {
  RequestContext ctx = ContextFromServer(server, source.token());
  return ctx.has_deadline() ? ctx : ctx.WithTimeout(options.default_timeout);
}

namespace {

// Owns itself from Handle() until gRPC says OnDone(), which comes after Finish() and after any OnCancel().
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(const grpc::CallbackServerContext& server, const MethodOptions& options, MethodRecorder& recorder)
      : recorder_(recorder), begun_(recorder.Begin()), ctx_(MakeCallContext(server, options, source_)) {}

  const RequestContext& ctx() const { return ctx_; }

  void End(const absl::Status& status) {
    recorder_.End(ctx_, begun_, status);
    Finish(ToGrpc(status));
  }

  void OnCancel() override {
    // gRPC also cancels when the deadline passes.
    const absl::Status late = RequestContext({}, ctx_.deadline()).Check();
    source_.Cancel(late.ok() ? absl::CancelledError("the client gave up the call") : late);
  }
  void OnDone() override { delete this; }

 private:
  MethodRecorder& recorder_;
  const int64_t begun_;
  CancellationSource source_;
  const RequestContext ctx_;
};

}  // namespace

UnaryMethod::UnaryMethod(const MethodOptions& options, absl::string_view service, absl::string_view method)
    : options_(options), recorder_(*options.registry, service, method) {}

grpc::ServerUnaryReactor* UnaryMethod::Handle(grpc::CallbackServerContext* server,
                                              absl::AnyInvocable<absl::Status(const RequestContext&)> work) {
  auto* const call = new UnaryCall(*server, options_, recorder_);
  auto run = [this, call, work = std::move(work)]() mutable {
    // A call that waited past its deadline is not worth beginning.
    absl::Status status = call->ctx().Check();
    if (status.ok()) status = WithoutExceptions(call->ctx(), recorder_.name(), [&] { return work(call->ctx()); });
    work = nullptr;  // what it captured goes before the call does
    call->End(status);
  };
  if (options_.pool != nullptr) {
    options_.pool->Submit(std::move(run));
  } else {
    run();
  }
  return call;
}

grpc::ServerUnaryReactor* UnaryMethod::HandleAsync(
    grpc::CallbackServerContext* server, absl::AnyInvocable<void(const RequestContext&, rpc::Finish finish)> work) {
  auto* const call = new UnaryCall(*server, options_, recorder_);
  // The call may be over before `work` returns, so it gets its own copy of the context.
  const RequestContext ctx = call->ctx();
  rpc::Finish finish([call](const absl::Status& status) { call->End(status); });
  const absl::Status status = WithoutExceptions(ctx, recorder_.name(), [&] {
    work(ctx, std::move(finish));
    return absl::OkStatus();
  });
  // Thrown before `finish` was taken: it is still ours.
  if (!status.ok()) finish(status);
  return call;
}

}  // namespace alcove::rpc
