#include <utility>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "absl/strings/str_cat.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"
#include "services/gateway/flows/documents.h"
#include "services/gateway/flows/embed.h"

namespace alcove::gateway {
namespace {

namespace vector = alcove::vector::v1;

constexpr char kSearchNamespace[] = "search";
constexpr uint32_t kDefaultLimit = 10;
constexpr uint32_t kMaxLimit = 1000;
constexpr uint32_t kMaxOffset = 10'000;

absl::Status CheckSearch(const v1::SearchRequest& request) {
  if (request.query().empty()) return InvalidField("query", "must not be empty");
  if (request.query().size() > kMaxQueryBytes) {
    return InvalidField("query",
                        absl::StrCat("has ", request.query().size(), " bytes; at most ", kMaxQueryBytes, " are taken"));
  }
  if (request.limit() > kMaxLimit) return InvalidField("limit", absl::StrCat("at most ", kMaxLimit));
  if (request.offset() > kMaxOffset) return InvalidField("offset", absl::StrCat("at most ", kMaxOffset));
  return absl::OkStatus();
}

// Everything the answer depends on, and nothing else: equal searches have equal keys, whatever order maps were sent in.
// The collection's birth is part of it, so that a collection made anew under an old name begins without old answers.
std::string CacheKey(const v1::SearchRequest& request, const vector::Collection& collection) {
  v1::SearchRequest canonical = request;
  canonical.clear_cache();
  canonical.clear_min_sequence();
  if (canonical.limit() == 0) canonical.set_limit(kDefaultLimit);
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    canonical.SerializeToCodedStream(&coded);
  }
  return absl::StrCat(Hash128(bytes).hex(), "-", collection.created_at_ms(), "-", collection.embedding_model());
}

absl::StatusOr<v1::SearchResponse> FromCache(const std::string& bytes) {
  v1::SearchResponse response;
  if (!response.ParseFromString(bytes)) return absl::DataLossError("a cached answer cannot be read");
  response.set_cached(true);
  return response;
}

// The answer computed anew: embed, search.
asio::awaitable<absl::StatusOr<v1::SearchResponse>> Compute(FlowEnv& env, const RequestContext& ctx,
                                                            const v1::SearchRequest& request, std::string model,
                                                            StageTimer& timer) {
  v1::SearchResponse response;
  absl::StatusOr<std::vector<float>> query = co_await EmbedQuery(env, ctx, std::move(model), request.query());
  if (!query.ok()) co_return query.status();
  timer.End("embed", response.mutable_timings());

  vector::SearchPointsRequest search;
  search.set_collection(request.collection());
  search.mutable_vector()->Add(query->begin(), query->end());
  search.set_limit(request.limit());
  search.set_offset(request.offset());
  if (request.has_filter()) *search.mutable_filter() = request.filter();
  if (request.has_score_threshold()) search.set_score_threshold(request.score_threshold());
  if (request.has_params()) *search.mutable_params() = request.params();
  search.set_min_sequence(request.min_sequence());
  search.set_partial_results(request.partial_results());
  absl::StatusOr<vector::SearchPointsResponse> found =
      co_await CallBackend<vector::SearchPointsResponse>(env.backends, ctx, methods::kSearchPoints, search);
  if (!found.ok()) co_return found.status();
  FillHits(*found, response.mutable_hits());
  *response.mutable_shards() = std::move(*found->mutable_shards());
  timer.End("search", response.mutable_timings());
  co_return response;
}

}  // namespace

asio::awaitable<absl::StatusOr<v1::SearchResponse>> SearchDocuments(FlowEnv& env, const RequestContext& ctx,
                                                                    const v1::SearchRequest& request) {
  if (absl::Status status = CheckSearch(request); !status.ok()) co_return status;
  auto collection = co_await env.collections.GetWithModel(ctx, request.collection());
  if (!collection.ok()) co_return collection.status();

  StageTimer timer(env, "retrieve");
  // A reader of its own writes gets neither an answer from before them nor leaves one for others.
  const bool bypass =
      !env.options.cache_searches || !request.min_sequence().empty() || request.cache() == v1::CACHE_MODE_BYPASS;
  const bool refresh = !bypass && request.cache() == v1::CACHE_MODE_REFRESH;
  const std::string key = bypass ? std::string() : CacheKey(request, **collection);
  AnswerCache::Lookup lookup;
  google::protobuf::RepeatedPtrField<v1::StageTiming> timings;
  if (!bypass && !refresh) {
    lookup = co_await env.cache.Get(ctx, kSearchNamespace, key, env.options.single_flight_wait);
    timer.End("cache", &timings);
    if (lookup.value) {
      absl::StatusOr<v1::SearchResponse> hit = FromCache(*lookup.value);
      if (hit.ok()) {
        if (env.observer != nullptr) env.observer->OnSearchCache("hit");
        hit->mutable_timings()->Swap(&timings);
        co_return hit;
      }
    }
  }
  if (env.observer != nullptr) env.observer->OnSearchCache(bypass ? "bypass" : refresh ? "refresh" : "miss");

  absl::StatusOr<v1::SearchResponse> response =
      co_await Compute(env, ctx, request, (*collection)->embedding_model(), timer);
  const bool whole = response.ok() && response->shards().answered() == response->shards().asked();
  if (!whole && !bypass) env.cache.Release(ctx, kSearchNamespace, key, lookup.lease);
  if (!response.ok()) {
    env.collections.Forget(ctx.tenant(), request.collection());
    co_return response.status();
  }
  if (whole && !bypass) {
    v1::SearchResponse stored;
    *stored.mutable_hits() = response->hits();
    env.cache.Put(ctx, kSearchNamespace, key, stored.SerializeAsString(), env.options.search_ttl,
                  {CollectionTag(ctx.tenant(), request.collection())}, lookup.lease);
  }
  // The lookup came first, so it stands first.
  if (!timings.empty()) {
    timings.MergeFrom(response->timings());
    response->mutable_timings()->Swap(&timings);
  }
  co_return response;
}

}  // namespace alcove::gateway
