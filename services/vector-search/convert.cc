#include "services/vector-search/convert.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

namespace gp = ::google::protobuf;

absl::StatusOr<Literal> LiteralFromProto(const gp::Value& value, absl::string_view field) {
  switch (value.kind_case()) {
    case gp::Value::kNumberValue: return Literal(value.number_value());
    case gp::Value::kStringValue: return Literal(value.string_value());
    case gp::Value::kBoolValue: return Literal(value.bool_value());
    case gp::Value::kNullValue: return Literal(std::monostate());
    default:
      return InvalidField("filter",
                          absl::StrCat("field \"", field, "\": a literal is a text, a number, true or false"));
  }
}

void LiteralToProto(const Literal& literal, gp::Value* out) {
  if (const auto* text = std::get_if<std::string>(&literal)) {
    out->set_string_value(*text);
  } else if (const auto* number = std::get_if<double>(&literal)) {
    out->set_number_value(*number);
  } else if (const auto* value = std::get_if<bool>(&literal)) {
    out->set_bool_value(*value);
  } else {
    out->set_null_value(gp::NULL_VALUE);
  }
}

absl::StatusOr<Condition> ConditionFromProto(const pb::Condition& condition, int depth);

absl::StatusOr<Filter> FilterAtDepth(const pb::Filter& filter, int depth) {
  if (depth > kMaxFilterDepth) {
    return InvalidField("filter", absl::StrCat("filters may be nested at most ", kMaxFilterDepth, " deep"));
  }
  Filter out;
  for (const auto& [from, to] : {std::pair{&filter.must(), &out.must}, std::pair{&filter.should(), &out.should},
                                 std::pair{&filter.must_not(), &out.must_not}}) {
    to->reserve(from->size());
    for (const pb::Condition& condition : *from) {
      ALCOVE_ASSIGN_OR_RETURN(Condition converted, ConditionFromProto(condition, depth));
      to->push_back(std::move(converted));
    }
  }
  return out;
}

absl::StatusOr<Condition> MatchFromProto(const pb::Match& match) {
  MatchCondition out{match.field(), {}};
  if (match.has_value() && match.any_of_size() > 0) {
    return InvalidField("filter", absl::StrCat("match on \"", match.field(), "\" takes `value` or `any_of`, not both"));
  }
  if (match.has_value()) {
    ALCOVE_ASSIGN_OR_RETURN(Literal literal, LiteralFromProto(match.value(), match.field()));
    out.any_of.push_back(std::move(literal));
  }
  for (const gp::Value& value : match.any_of()) {
    ALCOVE_ASSIGN_OR_RETURN(Literal literal, LiteralFromProto(value, match.field()));
    out.any_of.push_back(std::move(literal));
  }
  return Condition(std::move(out));
}

absl::StatusOr<Condition> RangeFromProto(const pb::Range& range) {
  RangeCondition out{.field = range.field()};
  struct Bound {
    bool set;
    const gp::Value& from;
    std::optional<Literal>& to;
  };
  for (const Bound& bound : {Bound{range.has_gt(), range.gt(), out.gt}, Bound{range.has_gte(), range.gte(), out.gte},
                             Bound{range.has_lt(), range.lt(), out.lt}, Bound{range.has_lte(), range.lte(), out.lte}}) {
    if (!bound.set) continue;
    ALCOVE_ASSIGN_OR_RETURN(bound.to, LiteralFromProto(bound.from, range.field()));
  }
  return Condition(std::move(out));
}

absl::StatusOr<Condition> ConditionFromProto(const pb::Condition& condition, int depth) {
  switch (condition.kind_case()) {
    case pb::Condition::kMatch: return MatchFromProto(condition.match());
    case pb::Condition::kRange: return RangeFromProto(condition.range());
    case pb::Condition::kHasId:
      return Condition(HasIdCondition{{condition.has_id().ids().begin(), condition.has_id().ids().end()}});
    case pb::Condition::kIsEmpty: return Condition(IsEmptyCondition{condition.is_empty().field()});
    case pb::Condition::kFilter: {
      ALCOVE_ASSIGN_OR_RETURN(Filter filter, FilterAtDepth(condition.filter(), depth + 1));
      return Condition(std::move(filter));
    }
    case pb::Condition::kMatchText: return TextFromProto(condition.match_text());
    case pb::Condition::kGeoRadius: return GeoFromProto(condition.geo_radius());
    case pb::Condition::kGeoBox: return GeoFromProto(condition.geo_box());
    case pb::Condition::kGeoPolygon: return GeoFromProto(condition.geo_polygon());
    case pb::Condition::KIND_NOT_SET: break;
  }
  return InvalidField("filter",
                      "a condition needs one of match, range, has_id, is_empty, match_text, geo_radius, geo_box, "
                      "geo_polygon and filter");
}

void ConditionToProto(const Condition& condition, pb::Condition* out) {
  if (const auto* match = std::get_if<MatchCondition>(&condition)) {
    out->mutable_match()->set_field(match->field);
    for (const Literal& literal : match->any_of) LiteralToProto(literal, out->mutable_match()->add_any_of());
  } else if (const auto* range = std::get_if<RangeCondition>(&condition)) {
    pb::Range* to = out->mutable_range();
    to->set_field(range->field);
    if (range->gt) LiteralToProto(*range->gt, to->mutable_gt());
    if (range->gte) LiteralToProto(*range->gte, to->mutable_gte());
    if (range->lt) LiteralToProto(*range->lt, to->mutable_lt());
    if (range->lte) LiteralToProto(*range->lte, to->mutable_lte());
  } else if (const auto* has_id = std::get_if<HasIdCondition>(&condition)) {
    pb::HasId* to = out->mutable_has_id();
    for (const std::string& id : has_id->ids) to->add_ids(id);
  } else if (const auto* is_empty = std::get_if<IsEmptyCondition>(&condition)) {
    out->mutable_is_empty()->set_field(is_empty->field);
  } else if (const auto* text = std::get_if<TextCondition>(&condition)) {
    TextToProto(*text, out->mutable_match_text());
  } else if (const auto* geo = std::get_if<GeoCondition>(&condition)) {
    GeoToProto(*geo, out);
  } else {
    FilterToProto(std::get<Filter>(condition), out->mutable_filter());
  }
}

void CopyFloats(const std::vector<float>& from, gp::RepeatedField<float>* to) { to->Add(from.begin(), from.end()); }

}  // namespace

absl::StatusOr<Filter> FilterFromProto(const pb::Filter& filter) { return FilterAtDepth(filter, 1); }

void FilterToProto(const Filter& filter, pb::Filter* out) {
  for (const Condition& condition : filter.must) ConditionToProto(condition, out->add_must());
  for (const Condition& condition : filter.should) ConditionToProto(condition, out->add_should());
  for (const Condition& condition : filter.must_not) ConditionToProto(condition, out->add_must_not());
}

PayloadSelector SelectorFromProto(const pb::PayloadSelector& selector) {
  return {selector.none(),
          {selector.include().begin(), selector.include().end()},
          {selector.exclude().begin(), selector.exclude().end()}};
}

void SelectorToProto(const PayloadSelector& selector, pb::PayloadSelector* out) {
  out->set_none(selector.none);
  for (const std::string& name : selector.include) out->add_include(name);
  for (const std::string& name : selector.exclude) out->add_exclude(name);
}

absl::StatusOr<CollectionConfig> ConfigFromProto(const pb::Collection& collection) {
  CollectionConfig config;
  for (const auto& [name, from] : collection.vectors()) {
    VectorField field;
    field.dimension = from.dimension();
    if (!pb::Metric_IsValid(from.metric())) {
      return InvalidField(absl::StrCat("vectors[\"", name, "\"].metric"), "is not a metric this version knows");
    }
    if (from.metric() != pb::METRIC_UNSPECIFIED) field.metric = static_cast<Metric>(from.metric());
    const pb::HnswConfig& hnsw = from.hnsw();
    if (!pb::Codes_IsValid(hnsw.codes())) {
      return InvalidField(absl::StrCat("vectors[\"", name, "\"].hnsw.codes"), "are not codes this version knows");
    }
    if (hnsw.m() != 0) field.m = hnsw.m();
    if (hnsw.ef_construction() != 0) field.ef_construction = hnsw.ef_construction();
    if (hnsw.ef_search() != 0) field.ef_search = hnsw.ef_search();
    if (hnsw.codes() != pb::CODES_UNSPECIFIED) field.codes = static_cast<Codes>(hnsw.codes());
    if (!pb::VectorStorage_IsValid(from.storage())) {
      return InvalidField(absl::StrCat("vectors[\"", name, "\"].storage"), "is not a storage this version knows");
    }
    field.storage = from.storage() == pb::VECTOR_STORAGE_UNSPECIFIED ? DefaultStorage(field.codes)
                                                                     : static_cast<VectorStorage>(from.storage());
    field.on_disk = from.on_disk();
    config.vectors[name] = field;
  }
  for (const auto& [path, type] : collection.schema()) {
    if (!pb::FieldType_IsValid(type) || type == pb::FIELD_TYPE_UNSPECIFIED) {
      return InvalidField(absl::StrCat("schema[\"", path, "\"]"), "is not a field type this version knows");
    }
    config.schema[path] = static_cast<FieldType>(type);
  }
  for (const auto& [name, from] : collection.sparse()) {
    ALCOVE_ASSIGN_OR_RETURN(config.sparse[name], SparseConfigFromProto(from));
  }
  config.embedding_model = collection.embedding_model();
  config.description = collection.description();
  return config;
}

void CollectionToProto(const CollectionView& view, pb::Collection* out) {
  const CatalogEntry& entry = *view.entry;
  out->set_name(entry.name);
  for (const auto& [name, field] : entry.config.vectors) {
    pb::VectorConfig& to = (*out->mutable_vectors())[name];
    to.set_dimension(field.dimension);
    to.set_metric(static_cast<pb::Metric>(field.metric));
    to.mutable_hnsw()->set_m(field.m);
    to.mutable_hnsw()->set_ef_construction(field.ef_construction);
    to.mutable_hnsw()->set_ef_search(field.ef_search);
    to.mutable_hnsw()->set_codes(static_cast<pb::Codes>(field.codes));
    to.set_storage(static_cast<pb::VectorStorage>(field.storage));
    to.set_on_disk(field.on_disk);
  }
  for (const auto& [path, type] : entry.config.schema) {
    (*out->mutable_schema())[path] = static_cast<pb::FieldType>(type);
  }
  for (const auto& [name, field] : entry.config.sparse) {
    SparseConfigToProto(field, &(*out->mutable_sparse())[name]);
  }
  out->set_embedding_model(entry.config.embedding_model);
  out->set_description(entry.config.description);
  out->set_shard_count(static_cast<uint32_t>(entry.placement.shard_count));
  out->set_points(view.points);
  out->set_memory_bytes(view.memory_bytes);
  out->set_disk_bytes(view.disk_bytes);
  out->set_created_at_ms(absl::ToUnixMillis(entry.created_at));
  out->set_applied_sequence(view.applied_sequence);
}

absl::StatusOr<StoredPoint> PointFromProto(const pb::Point& point) {
  StoredPoint out;
  out.id = point.id();
  if (point.vector_size() > 0) out.vectors.push_back({"", {point.vector().begin(), point.vector().end()}});
  for (const auto& [name, vector] : point.named_vectors()) {
    out.vectors.push_back({name, {vector.values().begin(), vector.values().end()}});
  }
  for (const auto& [name, vector] : point.sparse_vectors()) out.sparse.push_back({name, SparseFromProto(vector)});
  auto payload = PayloadFromProto(point.payload());
  if (!payload.ok()) {
    return InvalidField("payload", absl::StrCat("point \"", point.id(), "\": ", payload.status().message()));
  }
  out.payload = *std::move(payload);
  return out;
}

void PointToProto(const StoredPoint& point, pb::Point* out) {
  out->set_id(point.id);
  for (const NamedVector& vector : point.vectors) {
    CopyFloats(vector.values, vector.name.empty() ? out->mutable_vector()
                                                  : (*out->mutable_named_vectors())[vector.name].mutable_values());
  }
  for (const NamedSparse& vector : point.sparse) {
    SparseToProto(vector.components, &(*out->mutable_sparse_vectors())[vector.name]);
  }
  if (!point.payload.empty()) PayloadToProto(point.payload, out->mutable_payload());
}

void FoundToProto(const FoundPoint& point, pb::ScoredPoint* out) {
  out->set_id(point.id);
  out->set_score(point.score);
  if (!point.payload.empty()) PayloadToProto(point.payload, out->mutable_payload());
  CopyFloats(point.vector, out->mutable_vector());
  for (const NamedVector& vector : point.named_vectors) {
    CopyFloats(vector.values, (*out->mutable_named_vectors())[vector.name].mutable_values());
  }
  for (const NamedSparse& vector : point.sparse_vectors) {
    SparseToProto(vector.components, &(*out->mutable_sparse_vectors())[vector.name]);
  }
  for (const HighlightedField& highlighted : point.highlights) {
    pb::Highlight* const to = out->add_highlights();
    to->set_field(highlighted.field);
    for (const std::string& fragment : highlighted.fragments) to->add_fragments(fragment);
  }
}

absl::StatusOr<UpsertCall> UpsertFromProto(const pb::UpsertPointsRequest& request) {
  UpsertCall call;
  call.collection = request.collection();
  call.wait = request.wait();
  call.idempotency_key = request.idempotency_key();
  call.points.reserve(static_cast<size_t>(request.points_size()));
  for (int i = 0; i < request.points_size(); ++i) {
    auto point = PointFromProto(request.points(i));
    if (!point.ok()) return Annotate(point.status(), absl::StrCat("points[", i, "]"));
    call.points.push_back(*std::move(point));
  }
  return call;
}

absl::StatusOr<DeleteCall> DeleteFromProto(const pb::DeletePointsRequest& request) {
  DeleteCall call;
  call.collection = request.collection();
  call.ids.assign(request.ids().begin(), request.ids().end());
  call.wait = request.wait();
  if (request.has_filter()) {
    ALCOVE_ASSIGN_OR_RETURN(call.filter, FilterFromProto(request.filter()));
  }
  return call;
}

GetCall GetFromProto(const pb::GetPointsRequest& request) {
  GetCall call;
  call.collection = request.collection();
  call.query.ids.assign(request.ids().begin(), request.ids().end());
  call.query.payload = SelectorFromProto(request.payload());
  call.query.with_vectors = request.with_vectors();
  call.min_sequence = request.min_sequence();
  return call;
}

absl::StatusOr<ScrollCall> ScrollFromProto(const pb::ScrollPointsRequest& request) {
  ScrollCall call;
  call.collection = request.collection();
  ALCOVE_ASSIGN_OR_RETURN(call.filter, FilterFromProto(request.filter()));
  call.page_size = request.page_size();
  call.page_token = request.page_token();
  call.payload = SelectorFromProto(request.payload());
  call.with_vectors = request.with_vectors();
  call.min_sequence = request.min_sequence();
  return call;
}

absl::StatusOr<SearchQuery> QueryFromProto(const pb::SearchShardRequest& request) {
  SearchQuery query;
  query.vector.assign(request.vector().begin(), request.vector().end());
  query.vector_name = request.vector_name();
  query.limit = request.limit();
  ALCOVE_ASSIGN_OR_RETURN(query.filter, FilterFromProto(request.filter()));
  if (request.has_score_threshold()) query.score_threshold = request.score_threshold();
  query.payload = SelectorFromProto(request.payload());
  query.with_vectors = request.with_vectors();
  query.ef = request.params().ef();
  query.exact = request.params().exact();
  query.exclude_id = request.exclude_id();
  query.sparse = SparseFromProto(request.sparse());
  query.text = request.text();
  if (request.has_statistics()) query.statistics = StatisticsFromProto(request.statistics());
  return query;
}

void QueryToProto(const SearchQuery& query, pb::SearchShardRequest* out) {
  CopyFloats(query.vector, out->mutable_vector());
  out->set_vector_name(query.vector_name);
  out->set_limit(query.limit);
  if (!query.filter.empty()) FilterToProto(query.filter, out->mutable_filter());
  if (query.score_threshold) out->set_score_threshold(*query.score_threshold);
  if (!query.payload.everything()) SelectorToProto(query.payload, out->mutable_payload());
  out->set_with_vectors(query.with_vectors);
  out->mutable_params()->set_ef(query.ef);
  out->mutable_params()->set_exact(query.exact);
  out->set_exclude_id(query.exclude_id);
  if (!query.sparse.empty()) SparseToProto(query.sparse, out->mutable_sparse());
  out->set_text(query.text);
  if (query.statistics) StatisticsToProto(*query.statistics, out->mutable_statistics());
}

ShardTarget TargetFromProto(const pb::ShardRef& ref) {
  return {ref.collection_id(), static_cast<int32_t>(ref.shard()), ref.min_sequence(), ref.epoch()};
}

void TargetToProto(const ShardTarget& target, pb::ShardRef* out) {
  out->set_collection_id(target.collection);
  out->set_shard(static_cast<uint32_t>(target.shard));
  out->set_min_sequence(target.min_sequence);
  out->set_epoch(target.epoch);
}

namespace {

void AddSparse(const std::vector<NamedSparse>& vectors, pb::EncodedPoint* out) {
  for (const NamedSparse& vector : vectors) {
    pb::EncodedSparse* const to = out->add_sparse_vectors();
    to->set_name(vector.name);
    SparseToProto(vector.components, to->mutable_vector());
  }
}

std::vector<NamedSparse> SparseOf(const pb::EncodedPoint& point) {
  std::vector<NamedSparse> out;
  for (const pb::EncodedSparse& vector : point.sparse_vectors()) {
    out.push_back({vector.name(), SparseFromProto(vector.vector())});
  }
  return out;
}

}  // namespace

void EncodedToProto(const FoundPoint& point, pb::EncodedPoint* out) {
  out->set_id(point.id);
  out->set_score(point.score);
  out->set_payload(point.payload);
  if (!point.vector.empty()) CopyFloats(point.vector, out->add_vectors()->mutable_values());
  AddSparse(point.sparse_vectors, out);
}

void EncodedToProto(const StoredPoint& point, pb::EncodedPoint* out) {
  out->set_id(point.id);
  out->set_payload(point.payload);
  for (const NamedVector& vector : point.vectors) {
    pb::EncodedVector* to = out->add_vectors();
    to->set_name(vector.name);
    CopyFloats(vector.values, to->mutable_values());
  }
  AddSparse(point.sparse, out);
}

namespace {

absl::Status CheckReply(const pb::EncodedPoint& point) {
  if (absl::Status status = ValidatePayload(point.payload()); !status.ok()) {
    return absl::InternalError(absl::StrCat("a shard answered with a malformed payload: ", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FoundPoint> FoundFromEncoded(pb::EncodedPoint& point) {
  ALCOVE_RETURN_IF_ERROR(CheckReply(point));
  FoundPoint out;
  out.id = std::move(*point.mutable_id());
  out.score = point.score();
  out.payload = std::move(*point.mutable_payload());
  if (point.vectors_size() > 0) out.vector.assign(point.vectors(0).values().begin(), point.vectors(0).values().end());
  out.sparse_vectors = SparseOf(point);
  return out;
}

absl::StatusOr<StoredPoint> StoredFromEncoded(pb::EncodedPoint& point) {
  ALCOVE_RETURN_IF_ERROR(CheckReply(point));
  StoredPoint out;
  out.id = std::move(*point.mutable_id());
  out.payload = std::move(*point.mutable_payload());
  for (const pb::EncodedVector& vector : point.vectors()) {
    out.vectors.push_back({vector.name(), {vector.values().begin(), vector.values().end()}});
  }
  out.sparse = SparseOf(point);
  return out;
}

}  // namespace alcove::vector_search
