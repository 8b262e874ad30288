#pragma once

#include <string_view>

#include "absl/time/time.h"
#include "libs/common/clock.h"
#include "services/gateway/flows/answer_cache.h"
#include "services/gateway/flows/backends.h"
#include "services/gateway/flows/collection_cache.h"
#include "services/gateway/flows/model_catalog.h"

namespace alcove::gateway {

struct FlowOptions {
  bool cache_searches = true;
  absl::Duration search_ttl = absl::Seconds(60);
  bool cache_embeddings = true;
  absl::Duration embedding_ttl = absl::Hours(1);
  absl::Duration single_flight_wait = absl::Seconds(2);  // for another caller that computes the same answer
  size_t batch_size = 32;                                // texts in one call to a model
  size_t parallel_batches = 4;                           // such calls at once per request
};

// Told how long each stage of a flow took and how the cache answered; for metrics.
class FlowObserver {
 public:
  virtual ~FlowObserver() = default;
  virtual void OnStage(std::string_view flow, std::string_view stage, absl::Duration time) = 0;
  virtual void OnSearchCache(std::string_view outcome) = 0;  // "hit", "miss", "bypass", "refresh"
};

// What a flow works with. One per loop; outlives its requests.
struct FlowEnv {
  FlowEnv(Backends& backends, asio::any_io_executor executor, FlowOptions options, FlowObserver* observer = nullptr,
          Clock* clock = RealClock())
      : backends(backends),
        models(backends, clock),
        collections(backends, clock),
        cache(backends, executor),
        options(options),
        observer(observer),
        clock(clock) {}

  Backends& backends;
  ModelCatalog models;
  CollectionCache collections;
  AnswerCache cache;
  const FlowOptions options;
  FlowObserver* const observer;  // may be null
  Clock* const clock;
};

}  // namespace alcove::gateway
