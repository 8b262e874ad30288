#include "services/cache/service.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "libs/common/status.h"
#include "libs/rpc/process_status.h"
#include "services/cache/convert.h"

namespace alcove::cache {
namespace {

constexpr char const* kService = v1::CacheService::service_full_name();
constexpr int kMaxBatch = 2048;

absl::Status CheckBatch(absl::string_view field, int size) {
  if (size <= kMaxBatch) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("holds ", size, "; at most ", kMaxBatch, " in one request"));
}

}  // namespace

CacheFace::CacheFace(TieredCache& cache, const rpc::MethodOptions& options, const Clock& clock)
    : Service(kService),
      cache_(cache),
      started_at_(clock.Now()),
      get_(options, kService, "Get"),
      batch_get_(options, kService, "BatchGet"),
      put_(options, kService, "Put"),
      batch_put_(options, kService, "BatchPut"),
      release_(options, kService, "Release"),
      delete_(options, kService, "Delete"),
      invalidate_tags_(options, kService, "InvalidateTags"),
      semantic_get_(options, kService, "SemanticGet"),
      semantic_put_(options, kService, "SemanticPut"),
      get_stats_(options, kService, "GetStats") {
  Unary("Get", &CacheFace::Get);
  Unary("BatchGet", &CacheFace::BatchGet);
  Unary("Put", &CacheFace::Put);
  Unary("BatchPut", &CacheFace::BatchPut);
  Unary("Release", &CacheFace::Release);
  Unary("Delete", &CacheFace::Delete);
  Unary("InvalidateTags", &CacheFace::InvalidateTags);
  Unary("SemanticGet", &CacheFace::SemanticGet);
  Unary("SemanticPut", &CacheFace::SemanticPut);
  Unary("GetStats", &CacheFace::GetStats);
}

void CacheFace::Get(rpc::UnaryCall* call, const v1::GetRequest* request, v1::GetResponse* response) {
  return get_.HandleAsync(call, [=, this](const RequestContext& ctx, rpc::Finish finish) {
    cache_.Get(ctx, FromProto(request->key()),
               {.single_flight = request->single_flight(), .wait = FromProto(request->wait())},
               [response, finish = std::move(finish)](absl::StatusOr<GetResult> result) mutable {
                 if (result.ok()) ToProto(*result, response);
                 finish(result.status());
               });
  });
}

void CacheFace::BatchGet(rpc::UnaryCall* call, const v1::BatchGetRequest* request, v1::BatchGetResponse* response) {
  return batch_get_.HandleAsync(call, [=, this](const RequestContext& ctx, rpc::Finish finish) {
    if (absl::Status status = CheckBatch("keys", request->keys_size()); !status.ok() || request->keys().empty()) {
      finish(std::move(status));
      return;
    }
    struct Pending {
      explicit Pending(int n, rpc::Finish f) : left(n), finish(std::move(f)) {}
      std::atomic<int> left;
      std::atomic<bool> failed{false};
      absl::Status status;
      rpc::Finish finish;
    };
    auto pending = std::make_shared<Pending>(request->keys_size(), std::move(finish));
    // Every reply gets a message of its own beforehand, so that callbacks on different threads do not meet.
    for (int i = 0; i < request->keys_size(); ++i) response->add_entries();
    for (int i = 0; i < request->keys_size(); ++i) {
      v1::GetResponse* entry = response->mutable_entries(i);
      cache_.Get(ctx, FromProto(request->keys(i)), {}, [pending, entry](absl::StatusOr<GetResult> result) {
        if (result.ok()) {
          ToProto(*result, entry);
        } else if (!pending->failed.exchange(true)) {
          pending->status = result.status();
        }
        if (pending->left.fetch_sub(1) == 1) pending->finish(pending->status);
      });
    }
  });
}

void CacheFace::Put(rpc::UnaryCall* call, const v1::PutRequest* request, v1::PutResponse* response) {
  return put_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const PutResult result, cache_.Put(ctx, FromProto(request->entry(), request->lease())));
    response->set_stored(result.stored);
    response->set_reason(result.reason);
    return absl::OkStatus();
  });
}

void CacheFace::BatchPut(rpc::UnaryCall* call, const v1::BatchPutRequest* request, v1::BatchPutResponse* response) {
  return batch_put_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckBatch("entries", request->entries_size()));
    uint32_t stored = 0;
    for (const v1::Entry& entry : request->entries()) {
      ALCOVE_ASSIGN_OR_RETURN(const PutResult result, cache_.Put(ctx, FromProto(entry, "")));
      stored += result.stored ? 1 : 0;
    }
    response->set_stored(stored);
    return absl::OkStatus();
  });
}

void CacheFace::Release(rpc::UnaryCall* call, const v1::ReleaseRequest* request, v1::ReleaseResponse*) {
  return release_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    return cache_.Release(ctx, FromProto(request->key()), request->lease()).status();
  });
}

void CacheFace::Delete(rpc::UnaryCall* call, const v1::DeleteRequest* request, v1::DeleteResponse* response) {
  return delete_.Handle(call, [=, this](const RequestContext& ctx) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(CheckBatch("keys", request->keys_size()));
    std::vector<CacheKey> keys;
    for (const v1::Key& key : request->keys()) keys.push_back(FromProto(key));
    ALCOVE_ASSIGN_OR_RETURN(const size_t deleted, cache_.Delete(ctx, keys));
    response->set_deleted(static_cast<uint32_t>(deleted));
    return absl::OkStatus();
  });
}

void CacheFace::InvalidateTags(rpc::UnaryCall* call, const v1::InvalidateTagsRequest* request,
                               v1::InvalidateTagsResponse* response) {
  return invalidate_tags_.HandleAsync(call, [=, this](const RequestContext& ctx, rpc::Finish finish) {
    cache_.InvalidateTags(ctx, {request->tags().begin(), request->tags().end()},
                          [response, finish = std::move(finish)](absl::StatusOr<bool> shared) mutable {
                            if (shared.ok()) response->set_shared(*shared);
                            finish(shared.status());
                          });
  });
}

void CacheFace::SemanticGet(rpc::UnaryCall* call, const v1::SemanticGetRequest*, v1::SemanticGetResponse*) {
  return semantic_get_.Handle(call, [](const RequestContext&) { return NotBuilt("semantic lookup"); });
}

void CacheFace::SemanticPut(rpc::UnaryCall* call, const v1::SemanticPutRequest*, v1::SemanticPutResponse*) {
  return semantic_put_.Handle(call, [](const RequestContext&) { return NotBuilt("semantic storage"); });
}

void CacheFace::GetStats(rpc::UnaryCall* call, const v1::GetStatsRequest*, v1::GetStatsResponse* response) {
  return get_stats_.Handle(call, [=, this](const RequestContext&) -> absl::Status {
    rpc::DescribeProcess("cache", address_, started_at_, response->mutable_process());
    const MemoryCache::Stats memory = cache_.memory_stats();
    v1::LevelStats& first = *response->add_levels();
    first.set_level(v1::LEVEL_MEMORY);
    first.set_available(true);
    first.set_hits(static_cast<int64_t>(cache_.memory_counters().hits.load()));
    first.set_misses(static_cast<int64_t>(cache_.memory_counters().misses.load()));
    first.set_entries(static_cast<int64_t>(memory.entries));
    first.set_bytes(static_cast<int64_t>(memory.bytes));
    first.set_evictions(static_cast<int64_t>(memory.evictions));
    auto& facts = *response->mutable_process()->mutable_facts();
    facts["entries"] = absl::StrCat(memory.entries);
    const double lookups = static_cast<double>(first.hits() + first.misses());
    facts["memory_hit_rate"] = absl::StrFormat("%.2f", lookups > 0 ? static_cast<double>(first.hits()) / lookups : 0);
    facts["redis"] = !cache_.redis_configured() ? "off" : cache_.redis_available() ? "up" : "down";
    if (cache_.redis_configured()) {
      v1::LevelStats& second = *response->add_levels();
      second.set_level(v1::LEVEL_REDIS);
      second.set_available(cache_.redis_available());
      second.set_hits(static_cast<int64_t>(cache_.redis_counters().hits.load()));
      second.set_misses(static_cast<int64_t>(cache_.redis_counters().misses.load()));
      second.set_entries(-1);
      second.set_bytes(-1);
      second.set_errors(static_cast<int64_t>(cache_.redis_errors()));
      if (!cache_.redis_available()) {
        response->mutable_process()->set_health(common::v1::HEALTH_DEGRADED);
        response->mutable_process()->set_reason("Redis cannot be reached; serving from memory alone");
      }
    }
    response->set_single_flight_waits(static_cast<int64_t>(cache_.flights().waits()));
    response->set_leases_expired(static_cast<int64_t>(cache_.flights().leases_expired()));
    return absl::OkStatus();
  });
}

}  // namespace alcove::cache
