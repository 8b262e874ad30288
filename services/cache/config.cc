#include "services/cache/config.h"

#include "services/cache/convert.h"

namespace alcove::cache {

TieredCacheOptions CacheOptions(const config::v1::CacheConfig& config) {
  TieredCacheOptions options;
  options.memory.max_entries = config.memory().max_entries();
  options.memory.max_bytes = config.memory().max_bytes();
  options.memory_ttl = FromProto(config.memory().ttl());
  options.max_value_bytes = config.max_value_bytes();
  options.lease_time = FromProto(config.lease_time());
  if (!config.redis().url().empty()) {
    RedisOptions& redis = options.redis.emplace();
    redis.url = config.redis().url();
    redis.connections = config.redis().connections();
    redis.connect_timeout = FromProto(config.redis().connect_timeout());
    redis.command_timeout = FromProto(config.redis().command_timeout());
    options.redis_ttl = FromProto(config.redis().ttl());
  }
  return options;
}

}  // namespace alcove::cache
