#include "libs/rpc/health.h"

#include <algorithm>
#include <utility>

namespace alcove::rpc {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch stream. What to do next is decided under the service's lock and done outside it; a decided write or finish
// is the only one under way, which keeps the watcher alive until it is done.
class HealthService::Watcher final : public WriteReactor<HealthCheckResponse> {
 public:
  Watcher(ServerCall& call, HealthService& service, std::string name)
      : WriteReactor(call), service_(service), name_(std::move(name)) {}

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
    if (action == Action::kFinish) Finish(absl::UnavailableError("the server is shutting down"));
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

  void OnCancel(absl::Status) override {
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

HealthService::HealthService(std::vector<std::string> names)
    : Service("grpc.health.v1.Health"), names_(std::move(names)) {
  Unary("Check", &HealthService::Check);
  ServerStreaming("Watch", &HealthService::Watch);
}

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

void HealthService::Check(UnaryCall* call, const HealthCheckRequest* request, HealthCheckResponse* response) {
  Status status;
  {
    absl::MutexLock lock(&mu_);
    status = StatusOf(request->service());
  }
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return call->Finish(absl::NotFoundError("no such service here"));
  }
  response->set_status(status);
  call->Finish(absl::OkStatus());
}

WriteReactor<HealthCheckResponse>* HealthService::Watch(ServerCall* call, const HealthCheckRequest* request) {
  auto* const watcher = new Watcher(*call, *this, request->service());
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
