// What /metrics says about the cache.
#pragma once

#include <vector>

#include "libs/common/metrics.h"
#include "services/cache/tiers/tiered_cache.h"

namespace alcove::cache {

// Publishes the cache's counters as alcove_cache_*; the handles keep them published.
std::vector<Registry::CallbackHandle> PublishMetrics(const TieredCache& cache, Registry& registry);

}  // namespace alcove::cache
