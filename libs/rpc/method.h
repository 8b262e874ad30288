// The life of one call on the server side. A face (service.h) owns one UnaryMethod for each method:
//
//   void CacheFace::Get(rpc::UnaryCall* call, const GetRequest* request, GetResponse* response) {
//     get_.Handle(call, [=, this](const RequestContext& ctx) { return DoGet(ctx, *request, *response); });
//   }
//   rpc::UnaryMethod get_{options_, "alcove.cache.v1.CacheService", "Get"};
//
// It gives the work a RequestContext (identity, deadline, cancellation when the client goes away), maps its status,
// stops its exceptions, counts and times it (alcove_rpc_server_requests_total{service,method,code},
// alcove_rpc_server_duration_seconds{service,method}, alcove_rpc_server_in_flight{service,method}) and logs it at
// debug.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <absl/functional/any_invocable.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include "libs/common/metrics.h"
#include "libs/common/request_context.h"
#include "libs/common/task_pool.h"
#include "libs/rpc/service.h"

namespace alcove::rpc {

// What the methods of a service share.
struct MethodOptions {
  Registry* registry = &DefaultRegistry();
  // Where Handle() runs the work; null runs it on the server's few loops, which is right only for work that neither
  // computes long nor blocks.
  TaskPool* pool = nullptr;
  // A call without a deadline gets this one, so that nothing is worked on for ever.
  absl::Duration default_timeout = absl::Seconds(60);
};

// The metrics and log line of one method. For streaming reactors, which UnaryMethod does not cover, use it by hand.
// Thread safe.
class MethodRecorder {
 public:
  MethodRecorder(Registry& registry, absl::string_view service, absl::string_view method);
  // A call begins; returns its start for End().
  int64_t Begin();
  void End(const RequestContext& ctx, int64_t begun, const absl::Status& status);
  const std::string& name() const { return name_; }  // "alcove.cache.v1.CacheService/Get"

 private:
  const std::string name_;
  const std::string service_;
  const std::string method_;
  std::array<Counter*, 17> by_code_;
  Histogram& duration_;
  Gauge& in_flight_;
};

// work(), and for what it throws (libraries may) a status that names the request id under which the log has it.
// `method` is what the log calls it.
absl::Status WithoutExceptions(const RequestContext& ctx, absl::string_view method,
                               absl::FunctionRef<absl::Status()> work);

// Tells the server that a call has ended; call it exactly once, from any thread. The request and the response must not
// be touched afterwards. Destroying it uncalled ends the call with INTERNAL.
class Finish {
 public:
  Finish(Finish&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  Finish& operator=(Finish&&) = delete;
  ~Finish();
  void operator()(absl::Status status);

 private:
  friend class UnaryMethod;
  explicit Finish(absl::AnyInvocable<void(absl::Status)> end) : end_(std::move(end)) {}
  absl::AnyInvocable<void(absl::Status)> end_;
};

// One unary method of one service. Outlives its calls. Thread safe.
class UnaryMethod {
 public:
  UnaryMethod(const MethodOptions& options, absl::string_view service, absl::string_view method);

  // Runs `work` on the pool and ends the call with its status.
  void Handle(UnaryCall* call, absl::AnyInvocable<absl::Status(const RequestContext&)> work);

  // Runs `work` at once on the call's loop; it must not block, and arranges for `finish` to be called.
  void HandleAsync(UnaryCall* call, absl::AnyInvocable<void(const RequestContext&, Finish finish)> work);

 private:
  const MethodOptions options_;
  MethodRecorder recorder_;
};

// The context of a call that is streamed: as UnaryMethod makes it. The token's source must be cancelled from the
// reactor's OnCancel().
RequestContext MakeCallContext(const ServerCall& call, const MethodOptions& options, CancellationToken cancellation);

}  // namespace alcove::rpc
