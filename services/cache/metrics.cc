#include "services/cache/metrics.h"

namespace alcove::cache {

std::vector<Registry::CallbackHandle> PublishMetrics(const TieredCache& cache, Registry& registry) {
  std::vector<Registry::CallbackHandle> handles;
  const auto counter = [&](const char* name, const char* help, const MetricLabels& labels,
                           std::function<double()> read) {
    handles.push_back(registry.AddCounterCallback(name, help, labels, std::move(read)));
  };
  const auto gauge = [&](const char* name, const char* help, std::function<double()> read) {
    handles.push_back(registry.AddGaugeCallback(name, help, {}, std::move(read)));
  };
  const auto level = [&](const char* name, const LevelCounters& counters) {
    counter("alcove_cache_hits_total", "Lookups a level answered.", {{"level", name}},
            [&counters] { return static_cast<double>(counters.hits.load()); });
    counter("alcove_cache_misses_total", "Lookups a level could not answer.", {{"level", name}},
            [&counters] { return static_cast<double>(counters.misses.load()); });
  };
  level("memory", cache.memory_counters());
  gauge("alcove_cache_memory_entries", "Entries in memory.",
        [&cache] { return static_cast<double>(cache.memory_stats().entries); });
  gauge("alcove_cache_memory_bytes", "Bytes in memory, overhead included.",
        [&cache] { return static_cast<double>(cache.memory_stats().bytes); });
  counter("alcove_cache_evictions_total", "Entries pushed out of memory to make room.", {{"level", "memory"}},
          [&cache] { return static_cast<double>(cache.memory_stats().evictions); });
  counter("alcove_cache_single_flight_waits_total", "Callers that waited for another's result.", {},
          [&cache] { return static_cast<double>(cache.flights().waits()); });
  counter("alcove_cache_leases_expired_total", "Leaders that were given up.", {},
          [&cache] { return static_cast<double>(cache.flights().leases_expired()); });
  if (cache.redis_configured()) {
    level("redis", cache.redis_counters());
    gauge("alcove_cache_redis_up", "1 while Redis can be reached.",
          [&cache] { return cache.redis_available() ? 1.0 : 0.0; });
    counter("alcove_cache_redis_errors_total", "Redis commands that failed.", {},
            [&cache] { return static_cast<double>(cache.redis_errors()); });
  }
  return handles;
}

}  // namespace alcove::cache
