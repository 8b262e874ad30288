// Recommendations: examples looked up, turned into searches.
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/validate_search.h"

namespace alcove::vector_search {
namespace {

// Adds the vectors of the ids to the examples. NOT_FOUND and FAILED_PRECONDITION name the id.
absl::Status AddExamples(const std::vector<std::string>& ids, const std::string& field,
                         const absl::flat_hash_map<std::string, StoredPoint>& points, Examples& examples) {
  for (const std::string& id : ids) {
    const auto at = points.find(id);
    if (at == points.end()) return NotFound("point", id);
    bool found = false;
    for (const NamedVector& vector : at->second.vectors) {
      if (vector.name != field) continue;
      examples.push_back(vector.values);
      found = true;
    }
    if (!found) {
      return absl::FailedPreconditionError(absl::StrCat("point \"", id, "\" has no vector \"", field, "\""));
    }
  }
  return absl::OkStatus();
}

// The search a recommendation comes down to, once every example is a vector.
absl::StatusOr<SearchCall> ToSearch(const CollectionConfig& config, RecommendCall call) {
  SearchCall search = std::move(call.search);
  const Metric metric = config.vectors.at(search.query.vector_name).metric;
  if (call.strategy == RecommendStrategy::kAverageVector) {
    ALCOVE_ASSIGN_OR_RETURN(search.query.vector, AverageOf(metric, call.positive, call.negative));
    return search;
  }
  // Whoever is nearest to any positive example is among those nearest to that example.
  for (const std::vector<float>& example : call.positive) {
    PrefetchCall& leg = search.prefetch.emplace_back();
    leg.query.vector = example;
    leg.query.vector_name = search.query.vector_name;
    leg.query.ef = search.query.ef;
    leg.query.exact = search.query.exact;
    leg.query.limit = 0;
  }
  search.fusion = FusionMethod::kMax;
  search.judge.emplace(std::move(call.positive), std::move(call.negative));
  return search;
}

}  // namespace

void Coordinator::Recommend(const RequestContext& ctx, RecommendCall call, Done<SearchReply> done) {
  absl::StatusOr<CatalogEntryPtr> found = Find(ctx, call.collection);
  if (!found.ok()) return done(found.status());
  CatalogEntryPtr entry = *std::move(found);
  if (absl::Status status = PrepareRecommend(entry->config, call); !status.ok()) return done(status);
  absl::StatusOr<std::vector<ShardTarget>> targets = Targets(ctx, entry, call.search.min_sequence);
  if (!targets.ok()) return done(targets.status());

  std::vector<std::string> ids = call.positive_ids;
  ids.insert(ids.end(), call.negative_ids.begin(), call.negative_ids.end());
  call.search.exclude_ids = ids;
  auto with_points = [this, ctx, entry, targets = *targets, call = std::move(call),
                      done = std::move(done)](absl::StatusOr<std::vector<StoredPoint>> points) mutable {
    if (!points.ok()) return done(points.status());
    absl::flat_hash_map<std::string, StoredPoint> by_id;
    for (StoredPoint& point : *points) by_id.emplace(point.id, std::move(point));
    const std::string field = call.search.query.vector_name;
    absl::Status status = AddExamples(call.positive_ids, field, by_id, call.positive);
    if (status.ok()) status = AddExamples(call.negative_ids, field, by_id, call.negative);
    if (!status.ok()) return done(status);
    absl::StatusOr<SearchCall> search = ToSearch(entry->config, std::move(call));
    if (!search.ok()) return done(InvalidField("positive", search.status().message()));
    RunSearch(ctx, std::move(entry), std::move(targets), *std::move(search), std::move(done));
  };
  if (ids.empty()) return with_points(std::vector<StoredPoint>());
  Fetch(ctx, entry, *targets, {std::move(ids), {.none = true}, true}, false, std::move(with_points));
}

}  // namespace alcove::vector_search
