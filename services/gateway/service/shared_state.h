#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/metrics.h"
#include "libs/store/store.h"
#include "services/gateway/access/key_directory.h"
#include "services/gateway/flows/flow_env.h"
#include "services/gateway/flows/suite_status.h"
#include "services/gateway/rest/method_table.h"
#include "services/gateway/rest/router.h"
#include "services/gateway/service/request_head.h"
#include "services/gateway/upstream/sibling_loops.h"
#include "services/gateway/upstream/upstream_pool.h"

namespace alcove::gateway {

enum class AccessLog { kAll, kErrors, kNone };

// Everything an App is told; made by config.cc from the configuration.
struct AppOptions {
  std::string version;
  std::string address;  // "127.0.0.1:8080", for the status page
  size_t max_body_bytes = 64u << 20;
  TimeLimits times;
  std::vector<std::string> cors_origins;
  bool compression = true;
  AccessLog access_log = AccessLog::kErrors;
  bool open_metrics = false;
  bool use_keys = true;
  FlowOptions flows;
  std::vector<UpstreamOptions> upstreams;
  std::shared_ptr<asio::ssl::context> upstream_tls;  // theirs, all the same; null: cleartext
};

// What a route leads to.
enum class Target {
  kMethod,  // an RPC method, by its HTTP form
  kEmbeddings,
  kModels,
  kModel,
  kGeneration,  // chat and completions
  kConsole,
  kDocs,
  kPrivatePage,
  kPrivateClientScript,
  kSealScript,
  kOpenApi,
  kHealthLive,
  kHealthReady,
  kMetrics,
};

struct Route {
  Target target = Target::kMethod;
  std::string name;  // the path template: label of metrics and log lines
  AccessScope scope = AccessScope::kRead;
  const MethodInfo* method = nullptr;    // for kMethod
  const HttpBinding* binding = nullptr;  // for kMethod

  bool openai() const {
    return target == Target::kEmbeddings || target == Target::kModels || target == Target::kModel ||
           target == Target::kGeneration;
  }
};

// Counters of the doors and flows. Thread-safe.
struct AppMetrics final : FlowObserver {
  explicit AppMetrics(Registry& registry);
  void OnStage(std::string_view flow, std::string_view stage, absl::Duration time) override;
  void OnSearchCache(std::string_view outcome) override;

  Registry& registry;
  CounterFamily& requests;      // route, method, status
  HistogramFamily& latency;     // route
  HistogramFamily& stages;      // flow, stage
  CounterFamily& search_cache;  // outcome
  CounterFamily& refused;       // reason: unauthenticated, scope, rate
};

// What the loops share. Everything is fixed once they run, but for what is thread-safe by itself.
class SharedState {
 public:
  // `store` null when keys are off. INTERNAL when a method's options cannot be honoured.
  static absl::StatusOr<std::unique_ptr<SharedState>> Create(AppOptions options, store::Store* store,
                                                             KeyDirectory* directory, Registry& registry);

  const AppOptions options;
  store::Store* const store;
  KeyDirectory* const directory;
  AppMetrics metrics;
  const absl::Time started_at;
  asio::thread_pool workers{2};  // for blocking calls of the store
  std::atomic<bool> draining{false};
  SiblingLoops siblings;

  std::unique_ptr<MethodTable> methods;
  Router router;
  std::vector<Route> routes;
  std::vector<std::string> route_names;  // sorted; for "did you mean"
  std::string openapi;

  // Every process behind the gateway.
  std::vector<KnownProcess> processes() const;
  // What it says of itself; kept up to date by the first loop.
  std::atomic<bool> ready{false};

 private:
  SharedState(AppOptions options, store::Store* store, KeyDirectory* directory, Registry& registry);
  absl::Status AddRoutes();
  absl::Status AddRoute(std::string_view method, std::string_view path, Route route);
};

}  // namespace alcove::gateway
