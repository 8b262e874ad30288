#include <cmath>
#include <tuple>
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

bool ByWords(const v1::SearchRequest& request) {
  return request.mode() == v1::SEARCH_MODE_TEXT || request.mode() == v1::SEARCH_MODE_HYBRID;
}

absl::Status CheckSearch(const v1::SearchRequest& request) {
  if (request.query().empty()) return InvalidField("query", "must not be empty");
  if (request.query().size() > kMaxQueryBytes) {
    return InvalidField("query",
                        absl::StrCat("has ", request.query().size(), " bytes; at most ", kMaxQueryBytes, " are taken"));
  }
  if (request.limit() > kMaxLimit) return InvalidField("limit", absl::StrCat("at most ", kMaxLimit));
  if (request.offset() > kMaxOffset) return InvalidField("offset", absl::StrCat("at most ", kMaxOffset));
  if (!v1::SearchMode_IsValid(request.mode())) return InvalidField("mode", "is not a mode this version knows");
  if (request.has_hybrid() && request.mode() != v1::SEARCH_MODE_HYBRID) {
    return InvalidField("hybrid", "belongs to the mode hybrid");
  }
  for (const auto& [name, set, weight] :
       {std::tuple{"hybrid.dense_weight", request.hybrid().has_dense_weight(), request.hybrid().dense_weight()},
        std::tuple{"hybrid.text_weight", request.hybrid().has_text_weight(), request.hybrid().text_weight()}}) {
    if (set && (!(weight > 0) || !std::isfinite(weight))) return InvalidField(name, "must be above 0 and finite");
  }
  if (request.has_highlight() && request.highlight().fields_size() > 0) {
    return InvalidField("highlight.fields", "documents have one text; leave it out");
  }
  if (request.has_highlight() && !ByWords(request)) {
    return InvalidField("highlight", "needs the mode text or hybrid");
  }
  return absl::OkStatus();
}

// The sparse field that holds the words of the collection's documents.
absl::StatusOr<std::string> TextIndexOf(const vector::Collection& collection) {
  std::string found;
  for (const auto& [name, config] : collection.sparse()) {
    // Maps have no order of their own.
    if (config.text_field() == kTextField && (found.empty() || name < found)) found = name;
  }
  if (!found.empty()) return found;
  return absl::FailedPreconditionError(
      absl::StrCat("collection \"", collection.name(),
                   "\" has no text index, so that it is searched by meaning only; make one anew with \"sparse\": "
                   "{\"text\": {\"text_field\": \"text\"}}"));
}

// Everything the answer depends on, and nothing else: equal searches have equal keys, whatever order maps were sent in.
// The collection's birth is part of it, so that a collection made anew under an old name begins without old answers.
std::string CacheKey(const v1::SearchRequest& request, const vector::Collection& collection) {
  v1::SearchRequest canonical = request;
  canonical.clear_cache();
  canonical.clear_min_sequence();
  if (canonical.limit() == 0) canonical.set_limit(kDefaultLimit);
  if (canonical.mode() == v1::SEARCH_MODE_UNSPECIFIED) canonical.set_mode(v1::SEARCH_MODE_DENSE);
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

// The query of a search, one ranking or two to be fused.
void SetQuery(const v1::SearchRequest& request, const std::string& text_index, const std::vector<float>& vector,
              vector::SearchPointsRequest& search) {
  if (request.mode() == v1::SEARCH_MODE_TEXT) {
    search.set_text(request.query());
    search.set_vector_name(text_index);
    return;
  }
  if (request.mode() != v1::SEARCH_MODE_HYBRID) {
    search.mutable_vector()->Add(vector.begin(), vector.end());
    if (request.has_params()) *search.mutable_params() = request.params();
    return;
  }
  const v1::HybridParams& hybrid = request.hybrid();
  *search.mutable_fusion() = hybrid.fusion();
  vector::Prefetch& dense = *search.add_prefetch();
  dense.mutable_vector()->Add(vector.begin(), vector.end());
  if (request.has_params()) *dense.mutable_params() = request.params();
  vector::Prefetch& words = *search.add_prefetch();
  words.set_text(request.query());
  words.set_vector_name(text_index);
  dense.set_limit(hybrid.candidates());
  words.set_limit(hybrid.candidates());
  if (hybrid.has_dense_weight()) dense.set_weight(hybrid.dense_weight());
  if (hybrid.has_text_weight()) words.set_weight(hybrid.text_weight());
}

// The answer computed anew: embed, search.
asio::awaitable<absl::StatusOr<v1::SearchResponse>> Compute(FlowEnv& env, const RequestContext& ctx,
                                                            const v1::SearchRequest& request,
                                                            const vector::Collection& collection, StageTimer& timer) {
  v1::SearchResponse response;
  std::string text_index;
  if (ByWords(request)) {
    absl::StatusOr<std::string> found = TextIndexOf(collection);
    if (!found.ok()) co_return found.status();
    text_index = *std::move(found);
  }
  std::vector<float> query;
  if (request.mode() != v1::SEARCH_MODE_TEXT) {
    absl::StatusOr<std::vector<float>> embedded =
        co_await EmbedQuery(env, ctx, collection.embedding_model(), request.query());
    if (!embedded.ok()) co_return embedded.status();
    query = *std::move(embedded);
    timer.End("embed", response.mutable_timings());
  }

  vector::SearchPointsRequest search;
  search.set_collection(request.collection());
  SetQuery(request, text_index, query, search);
  if (request.has_diversity()) *search.mutable_diversity() = request.diversity();
  if (request.has_group_by()) *search.mutable_group_by() = request.group_by();
  if (request.has_highlight()) *search.mutable_highlight() = request.highlight();
  search.set_limit(request.limit());
  search.set_offset(request.offset());
  if (request.has_filter()) *search.mutable_filter() = request.filter();
  if (request.has_score_threshold()) search.set_score_threshold(request.score_threshold());
  search.set_min_sequence(request.min_sequence());
  search.set_partial_results(request.partial_results());
  absl::StatusOr<vector::SearchPointsResponse> found =
      co_await CallBackend<vector::SearchPointsResponse>(env.backends, ctx, methods::kSearchPoints, search);
  if (!found.ok()) co_return found.status();
  FillHits(*found, response.mutable_hits());
  for (vector::PointGroup& group : *found->mutable_groups()) {
    v1::DocumentGroup* const to = response.add_groups();
    *to->mutable_value() = std::move(*group.mutable_value());
    for (vector::ScoredPoint& point : *group.mutable_points()) FillHit(point, to->add_hits());
  }
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

  absl::StatusOr<v1::SearchResponse> response = co_await Compute(env, ctx, request, **collection, timer);
  const bool whole = response.ok() && response->shards().answered() == response->shards().asked();
  if (!whole && !bypass) env.cache.Release(ctx, kSearchNamespace, key, lookup.lease);
  if (!response.ok()) {
    env.collections.Forget(ctx.tenant(), request.collection());
    co_return response.status();
  }
  if (whole && !bypass) {
    v1::SearchResponse stored;
    *stored.mutable_hits() = response->hits();
    *stored.mutable_groups() = response->groups();
    env.cache.Put(ctx, kSearchNamespace, key, stored.SerializeAsString(), env.options.search_ttl,
                  CollectionTags(ctx.tenant(), request.collection(), **collection), lookup.lease);
  }
  // The lookup came first, so it stands first.
  if (!timings.empty()) {
    timings.MergeFrom(response->timings());
    response->mutable_timings()->Swap(&timings);
  }
  co_return response;
}

}  // namespace alcove::gateway
