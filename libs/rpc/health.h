// grpc.health.v1. Written here because the implementation inside grpc++ keeps Watch streams open when a server shuts
// down, which makes every drain last until its deadline.
#pragma once

#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_set.h>
#include <absl/synchronization/mutex.h>

#include "grpc/health/v1/health.grpc.pb.h"

namespace alcove::rpc {

// Knows the services it is made with and "" (the process as a whole); all share one status. Thread safe.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // Starts as NOT_SERVING.
  explicit HealthService(std::vector<std::string> names);

  void SetServing(bool serving);
  // NOT_SERVING for good; watchers are told and their streams ended.
  void Shutdown();

  // NOT_FOUND for a service not known here.
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  // SERVICE_UNKNOWN, once, for a service not known here.
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context, const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;
  Status StatusOf(const std::string& name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void TellWatchers();

  const std::vector<std::string> names_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::rpc
