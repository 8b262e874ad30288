// grpc.health.v1, whose Watch streams end when the server shuts down rather than hold up its drain.
#pragma once

#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_set.h>
#include <absl/synchronization/mutex.h>

#include "grpc/health/v1/health.pb.h"
#include "libs/rpc/service.h"

namespace alcove::rpc {

// Knows the services it is made with and "" (the process as a whole); all share one status. Thread safe.
class HealthService final : public Service {
 public:
  // Starts as NOT_SERVING.
  explicit HealthService(std::vector<std::string> names);

  void SetServing(bool serving);
  // NOT_SERVING for good; watchers are told and their streams ended.
  void Shutdown();

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;
  Status StatusOf(const std::string& name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void TellWatchers();
  // NOT_FOUND for a service not known here.
  void Check(UnaryCall* call, const grpc::health::v1::HealthCheckRequest* request,
             grpc::health::v1::HealthCheckResponse* response);
  // SERVICE_UNKNOWN, once, for a service not known here.
  WriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(ServerCall* call,
                                                             const grpc::health::v1::HealthCheckRequest* request);

  const std::vector<std::string> names_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace alcove::rpc
