// A server-streaming call whose work runs on a pool thread and writes as fast as the client reads.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>

#include "libs/rpc/method.h"

namespace alcove::fhe_proxy {

// Owns itself until OnDone().
template <typename Response>
class StreamCall final : public rpc::WriteReactor<Response> {
 public:
  // Sends one message; returns when the message before it has left, so that at most one waits. The call's status once
  // it has ended.
  using Write = std::function<absl::Status(Response)>;
  using Work = absl::AnyInvocable<absl::Status(const RequestContext&, const Write&)>;

  // Runs `work` on the options' pool and ends the call with its status.
  static StreamCall* Start(rpc::ServerCall& server, const rpc::MethodOptions& options, rpc::MethodRecorder& recorder,
                           Work work) {
    auto* const call = new StreamCall(server, options, recorder);
    options.pool->Submit([call, work = std::move(work)]() mutable { call->Run(std::move(work)); });
    return call;
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    broken_ |= !ok;
  }
  void OnCancel(absl::Status why) override { source_.Cancel(std::move(why)); }
  void OnDone() override {
    // Run() may still be between Finish() and its last use of this object.
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&finished_));
    }
    delete this;
  }

 private:
  StreamCall(rpc::ServerCall& server, const rpc::MethodOptions& options, rpc::MethodRecorder& recorder)
      : rpc::WriteReactor<Response>(server),
        recorder_(recorder),
        begun_(recorder.Begin()),
        ctx_(rpc::MakeCallContext(server, options, source_.token())) {}

  void Run(Work work) {
    absl::Status status = ctx_.Check();
    if (status.ok()) {
      status = rpc::WithoutExceptions(ctx_, recorder_.name(), [&] {
        return work(ctx_, [this](Response response) { return Send(std::move(response)); });
      });
    }
    work = nullptr;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &StreamCall::Idle));
    }
    recorder_.End(ctx_, begun_, status);
    this->Finish(status);
    absl::MutexLock lock(&mu_);
    finished_ = true;
  }

  bool Idle() const { return !writing_; }

  absl::Status Send(Response response) {
    {
      absl::MutexLock lock(&mu_);
      // The server answers a pending write when the call is cancelled, so this ends.
      mu_.Await(absl::Condition(this, &StreamCall::Idle));
      if (broken_) return absl::CancelledError("the client is gone");
      writing_ = true;
      pending_ = std::move(response);
    }
    this->StartWrite(&pending_);
    return ctx_.Check();
  }

  rpc::MethodRecorder& recorder_;
  const int64_t begun_;
  CancellationSource source_;
  const RequestContext ctx_;
  absl::Mutex mu_;
  bool writing_ = false;
  bool broken_ = false;
  bool finished_ = false;
  Response pending_;
};

}  // namespace alcove::fhe_proxy
