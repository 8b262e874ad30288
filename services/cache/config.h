// The service's configuration as the domain's own options.
#pragma once

#include "alcove/config/v1/cache.pb.h"
#include "services/cache/tiers/tiered_cache.h"

namespace alcove::cache {

TieredCacheOptions CacheOptions(const config::v1::CacheConfig& config);

}  // namespace alcove::cache
