// Between the messages of alcove.cache.v1 and the cache's own types.
#pragma once

#include <absl/time/time.h>

#include "alcove/cache/v1/cache.pb.h"
#include "services/cache/tiers/tiered_cache.h"

namespace alcove::cache {

absl::Duration FromProto(const google::protobuf::Duration& duration);
CacheKey FromProto(const v1::Key& key);
PutRequest FromProto(const v1::Entry& entry, const std::string& lease);
void ToProto(const GetResult& result, v1::GetResponse* response);

}  // namespace alcove::cache
