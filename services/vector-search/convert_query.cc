// Searches, recommendations, facets and changes of points.
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/coordinator/validate.h"

namespace alcove::vector_search {
namespace {

namespace gp = ::google::protobuf;

std::vector<float> Floats(const gp::RepeatedField<float>& values) { return {values.begin(), values.end()}; }

absl::StatusOr<PrefetchCall> PrefetchFromProto(const pb::Prefetch& from) {
  PrefetchCall leg;
  leg.query.vector = Floats(from.vector());
  leg.query.sparse = SparseFromProto(from.sparse());
  leg.query.text = from.text();
  leg.query.vector_name = from.vector_name();
  leg.query.limit = from.limit();
  ALCOVE_ASSIGN_OR_RETURN(leg.query.filter, FilterFromProto(from.filter()));
  if (from.has_score_threshold()) leg.query.score_threshold = from.score_threshold();
  leg.query.ef = from.params().ef();
  leg.query.exact = from.params().exact();
  leg.id = from.id();
  if (from.has_weight()) leg.weight = from.weight();
  return leg;
}

absl::StatusOr<DiversityCall> DiversityFromProto(const pb::Diversity& from) {
  DiversityCall diversity;
  if (!pb::DiversityMethod_IsValid(from.method())) {
    return InvalidField("diversity.method", "is not a method this version knows");
  }
  if (from.method() == pb::DIVERSITY_METHOD_DPP) diversity.method = DiversityMethod::kDpp;
  if (from.has_lambda()) diversity.lambda = from.lambda();
  diversity.candidates = from.candidates();
  diversity.vector_name = from.vector_name();
  return diversity;
}

HighlightOptions HighlightFromProto(const pb::HighlightOptions& from) {
  HighlightOptions highlight;
  highlight.fields.assign(from.fields().begin(), from.fields().end());
  if (from.fragments() != 0) highlight.fragments = from.fragments();
  if (from.fragment_bytes() != 0) highlight.fragment_bytes = from.fragment_bytes();
  if (from.has_pre()) highlight.pre = from.pre();
  if (from.has_post()) highlight.post = from.post();
  return highlight;
}

void LiteralToValue(const Literal& literal, gp::Value* out) {
  if (const auto* text = std::get_if<std::string>(&literal)) {
    out->set_string_value(*text);
  } else if (const auto* number = std::get_if<double>(&literal)) {
    out->set_number_value(*number);
  } else {
    out->set_bool_value(std::get<bool>(literal));
  }
}

void ReportToProto(const SearchReply& reply, pb::ShardReport* out) {
  out->set_asked(reply.asked);
  out->set_answered(reply.answered);
  for (const std::string& failure : reply.failures) out->add_failures(failure);
}

template <typename Response>
void PointsToProto(const SearchReply& reply, Response* out) {
  for (const FoundPoint& point : reply.points) FoundToProto(point, out->add_points());
  for (const FoundGroup& group : reply.groups) {
    pb::PointGroup* const to = out->add_groups();
    LiteralToValue(group.value, to->mutable_value());
    for (const FoundPoint& point : group.points) FoundToProto(point, to->add_points());
  }
  ReportToProto(reply, out->mutable_shards());
}

// What SearchPointsRequest and RecommendPointsRequest have in common.
template <typename Request>
absl::Status TakeCommon(const Request& request, SearchCall& call) {
  call.collection = request.collection();
  call.query.vector_name = request.vector_name();
  call.query.limit = request.limit();
  ALCOVE_ASSIGN_OR_RETURN(call.query.filter, FilterFromProto(request.filter()));
  if (request.has_score_threshold()) call.query.score_threshold = request.score_threshold();
  call.query.payload = SelectorFromProto(request.payload());
  call.query.with_vectors = request.with_vectors();
  call.query.ef = request.params().ef();
  call.query.exact = request.params().exact();
  call.offset = request.offset();
  call.min_sequence = request.min_sequence();
  call.allow_partial = request.partial_results() == pb::PARTIAL_RESULTS_ALLOW;
  if (request.has_diversity()) {
    ALCOVE_ASSIGN_OR_RETURN(call.diversity, DiversityFromProto(request.diversity()));
  }
  if (request.has_group_by()) call.group = GroupCall{request.group_by().field(), request.group_by().group_size()};
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SearchCall> SearchFromProto(const pb::SearchPointsRequest& request) {
  SearchCall call;
  ALCOVE_RETURN_IF_ERROR(TakeCommon(request, call));
  call.query.vector = Floats(request.vector());
  call.query.sparse = SparseFromProto(request.sparse());
  call.query.text = request.text();
  call.id = request.id();
  if (static_cast<size_t>(request.prefetch_size()) > kMaxPrefetch) {
    return InvalidField("prefetch", absl::StrCat("must be at most ", kMaxPrefetch, ", not ", request.prefetch_size()));
  }
  for (int i = 0; i < request.prefetch_size(); ++i) {
    auto leg = PrefetchFromProto(request.prefetch(i));
    if (!leg.ok()) return Annotate(leg.status(), absl::StrCat("prefetch[", i, "]"));
    call.prefetch.push_back(*std::move(leg));
  }
  if (!pb::FusionMethod_IsValid(request.fusion().method())) {
    return InvalidField("fusion.method", "is not a method this version knows");
  }
  if (request.fusion().method() == pb::FUSION_METHOD_WEIGHTED) call.fusion = FusionMethod::kWeighted;
  if (request.fusion().rrf_k() != 0) call.rrf_k = request.fusion().rrf_k();
  if (request.has_highlight()) call.highlight = HighlightFromProto(request.highlight());
  return call;
}

void SearchToProto(const SearchReply& reply, pb::SearchPointsResponse* out) { PointsToProto(reply, out); }

absl::StatusOr<RecommendCall> RecommendFromProto(const pb::RecommendPointsRequest& request) {
  RecommendCall call;
  ALCOVE_RETURN_IF_ERROR(TakeCommon(request, call.search));
  call.collection = request.collection();
  call.positive_ids.assign(request.positive().begin(), request.positive().end());
  call.negative_ids.assign(request.negative().begin(), request.negative().end());
  if (static_cast<size_t>(request.positive_vectors_size()) + static_cast<size_t>(request.negative_vectors_size()) >
      kMaxExamples) {
    return InvalidField("positive_vectors", absl::StrCat("must be at most ", kMaxExamples, " examples in all"));
  }
  for (const pb::Vector& vector : request.positive_vectors()) call.positive.push_back(Floats(vector.values()));
  for (const pb::Vector& vector : request.negative_vectors()) call.negative.push_back(Floats(vector.values()));
  if (!pb::RecommendStrategy_IsValid(request.strategy())) {
    return InvalidField("strategy", "is not a strategy this version knows");
  }
  if (request.strategy() == pb::RECOMMEND_STRATEGY_BEST_SCORE) call.strategy = RecommendStrategy::kBestScore;
  return call;
}

void RecommendToProto(const SearchReply& reply, pb::RecommendPointsResponse* out) { PointsToProto(reply, out); }

absl::StatusOr<FacetCall> FacetFromProto(const pb::FacetPointsRequest& request) {
  FacetCall call;
  call.collection = request.collection();
  call.query.field = request.field();
  call.query.limit = request.limit();
  ALCOVE_ASSIGN_OR_RETURN(call.query.filter, FilterFromProto(request.filter()));
  call.min_sequence = request.min_sequence();
  return call;
}

void FacetToProto(const FacetReply& reply, pb::FacetPointsResponse* out) {
  for (const ValueCount& count : reply.counts) {
    pb::FacetCount* const to = out->add_counts();
    if (const auto* text = std::get_if<std::string>(&count.value)) {
      to->mutable_value()->set_string_value(*text);
    } else if (const auto* number = std::get_if<int64_t>(&count.value)) {
      to->mutable_value()->set_number_value(static_cast<double>(*number));
    } else {
      to->mutable_value()->set_bool_value(std::get<bool>(count.value));
    }
    to->set_count(static_cast<int64_t>(count.count));
  }
  out->set_distinct_values(static_cast<int64_t>(reply.distinct));
  out->set_exact(reply.exact);
}

absl::StatusOr<UpdateCall> UpdateFromProto(const pb::UpdatePointsRequest& request) {
  UpdateCall call;
  call.collection = request.collection();
  call.wait = request.wait();
  call.idempotency_key = request.idempotency_key();
  for (int i = 0; i < request.updates_size(); ++i) {
    const pb::PointUpdate& update = request.updates(i);
    PointChange& change = call.changes.emplace_back();
    change.id = update.id();
    if (update.vector_size() > 0) change.vectors.push_back({"", Floats(update.vector())});
    for (const auto& [name, vector] : update.named_vectors()) change.vectors.push_back({name, Floats(vector.values())});
    for (const auto& [name, vector] : update.sparse_vectors()) change.sparse.push_back({name, SparseFromProto(vector)});
    change.remove_vectors.assign(update.remove_vectors().begin(), update.remove_vectors().end());
    change.replace_payload = update.replace_payload();
    if (update.has_payload() || update.replace_payload()) {
      auto payload = PayloadFromProto(update.payload());
      if (!payload.ok()) {
        return InvalidField(absl::StrCat("updates[", i, "].payload"),
                            absl::StrCat("point \"", update.id(), "\": ", payload.status().message()));
      }
      change.payload = *std::move(payload);
    }
  }
  return call;
}

}  // namespace alcove::vector_search
