#include "libs/rpc/health.h"

#include <algorithm>
#include <utility>

namespace alcove::rpc {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch stream. What to do next is decided under the service's lock and done outside it; a decided write or finish
// is the only one under way, which keeps the watcher alive until it is done.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService& service, std::string name) : service_(service), name_(std::move(name)) {}

  enum class Action { kNothing, kWrite, kFinish };

  Action Decide() ABSL_EXCLUSIVE_LOCKS_REQUIRED(service_.mu_) {
    if (busy_ || finished_) return Action::kNothing;
    const Status status = service_.StatusOf(name_);
    if (!cancelled_ && (!told_ || status != response_.status())) {
      told_ = busy_ = true;
      response_.set_status(status);
      return Action::kWrite;
    }
    if (!cancelled_ && !service_.shut_down_) return Action::kNothing;
    finished_ = true;
    return Action::kFinish;
  }

  void Do(Action action) {
    if (action == Action::kWrite) StartWrite(&response_);
    if (action == Action::kFinish) Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down"));
  }

  void OnWriteDone(bool ok) override {
    Action action;
    {
      absl::MutexLock lock(&service_.mu_);
      busy_ = false;
      cancelled_ = cancelled_ || !ok;
      action = Decide();
    }
    Do(action);
  }

  void OnCancel() override {
    Action action;
    {
      absl::MutexLock lock(&service_.mu_);
      cancelled_ = true;
      action = Decide();
    }
    Do(action);
  }

  void OnDone() override {
    {
      absl::MutexLock lock(&service_.mu_);
      service_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthService& service_;
  const std::string name_;
  HealthCheckResponse response_;
  bool told_ = false;
  bool busy_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

HealthService::HealthService(std::vector<std::string> names) : names_(std::move(names)) {}

HealthService::Status HealthService::StatusOf(const std::string& name) const {
  if (!name.empty() && std::find(names_.begin(), names_.end(), name) == names_.end()) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void HealthService::SetServing(bool serving) {
  {
    absl::MutexLock lock(&mu_);
    if (shut_down_ || serving_ == serving) return;
    serving_ = serving;
  }
  TellWatchers();
}

void HealthService::Shutdown() {
  {
    absl::MutexLock lock(&mu_);
    shut_down_ = true;
    serving_ = false;
  }
  TellWatchers();
}

void HealthService::TellWatchers() {
  std::vector<std::pair<Watcher*, Watcher::Action>> actions;
  {
    absl::MutexLock lock(&mu_);
    for (Watcher* watcher : watchers_) actions.emplace_back(watcher, watcher->Decide());
  }
  for (const auto& [watcher, action] : actions) {
    if (action != Watcher::Action::kNothing) watcher->Do(action);
  }
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context, const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Status status;
  {
    absl::MutexLock lock(&mu_);
    status = StatusOf(request->service());
  }
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service here"));
  } else {
    response->set_status(status);
    reactor->Finish(grpc::Status::OK);
  }
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(grpc::CallbackServerContext*,
                                                                    const HealthCheckRequest* request) {
  auto* const watcher = new Watcher(*this, request->service());
  Watcher::Action action;
  {
    absl::MutexLock lock(&mu_);
    watchers_.insert(watcher);
    action = watcher->Decide();
  }
  watcher->Do(action);
  return watcher;
}

}  // namespace alcove::rpc
