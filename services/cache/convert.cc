#include "services/cache/convert.h"

namespace alcove::cache {
namespace {

v1::Level ToProto(Level level) {
  switch (level) {
    case Level::kNone: return v1::LEVEL_UNSPECIFIED;
    case Level::kMemory: return v1::LEVEL_MEMORY;
    case Level::kRedis: return v1::LEVEL_REDIS;
  }
  return v1::LEVEL_UNSPECIFIED;
}

v1::Outcome ToProto(Outcome outcome) {
  switch (outcome) {
    case Outcome::kHit: return v1::OUTCOME_HIT;
    case Outcome::kMiss: return v1::OUTCOME_MISS;
    case Outcome::kMissLeader: return v1::OUTCOME_MISS_LEADER;
  }
  return v1::OUTCOME_UNSPECIFIED;
}

}  // namespace

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

CacheKey FromProto(const v1::Key& key) { return {key.namespace_(), key.key()}; }

PutRequest FromProto(const v1::Entry& entry, const std::string& lease) {
  PutRequest request;
  request.key = FromProto(entry.key());
  request.value = entry.value();
  if (entry.has_ttl()) request.ttl = FromProto(entry.ttl());
  request.tags.assign(entry.tags().begin(), entry.tags().end());
  request.lease = lease;
  return request;
}

void ToProto(const GetResult& result, v1::GetResponse* response) {
  response->set_outcome(ToProto(result.outcome));
  response->set_level(ToProto(result.level));
  if (result.value != nullptr) response->set_value(*result.value);
  if (result.outcome == Outcome::kHit) {
    const int64_t nanos = absl::ToInt64Nanoseconds(result.ttl);
    response->mutable_ttl()->set_seconds(nanos / 1'000'000'000);
    response->mutable_ttl()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  }
  response->set_lease(result.lease);
}

}  // namespace alcove::cache
