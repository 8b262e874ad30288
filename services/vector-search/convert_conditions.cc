// Conditions on texts and places, sparse vectors and their settings.
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/convert.h"

namespace alcove::vector_search {
namespace {

GeoPoint PlaceFromProto(const pb::GeoPoint& point) { return {point.lat(), point.lon()}; }

void PlaceToProto(GeoPoint point, pb::GeoPoint* out) {
  out->set_lat(point.lat);
  out->set_lon(point.lon);
}

std::vector<GeoPoint> RingFromProto(const pb::GeoRing& ring) {
  std::vector<GeoPoint> out;
  for (const pb::GeoPoint& point : ring.points()) out.push_back(PlaceFromProto(point));
  return out;
}

void RingToProto(const std::vector<GeoPoint>& ring, pb::GeoRing* out) {
  for (const GeoPoint& point : ring) PlaceToProto(point, out->add_points());
}

absl::Status Missing(absl::string_view condition, absl::string_view field, absl::string_view what) {
  return InvalidField("filter", absl::StrCat(condition, " on \"", field, "\" needs `", what, "`"));
}

}  // namespace

absl::StatusOr<Condition> TextFromProto(const pb::MatchText& text) {
  TextCondition out{text.field(), text.text()};
  switch (text.mode()) {
    case pb::TEXT_MATCH_UNSPECIFIED:
    case pb::TEXT_MATCH_ALL: out.mode = TextMode::kAll; break;
    case pb::TEXT_MATCH_ANY: out.mode = TextMode::kAny; break;
    case pb::TEXT_MATCH_PHRASE: out.mode = TextMode::kPhrase; break;
    default: return InvalidField("filter", absl::StrCat("match_text on \"", text.field(), "\": unknown mode"));
  }
  return Condition(std::move(out));
}

absl::StatusOr<Condition> GeoFromProto(const pb::GeoRadius& radius) {
  if (!radius.has_center()) return Missing("geo_radius", radius.field(), "center");
  return Condition(GeoCondition{radius.field(), GeoCircle{PlaceFromProto(radius.center()), radius.radius_m()}});
}

absl::StatusOr<Condition> GeoFromProto(const pb::GeoBox& box) {
  if (!box.has_top_left()) return Missing("geo_box", box.field(), "top_left");
  if (!box.has_bottom_right()) return Missing("geo_box", box.field(), "bottom_right");
  return Condition(GeoCondition{box.field(), GeoBox{box.top_left().lat(), box.bottom_right().lat(),
                                                    box.top_left().lon(), box.bottom_right().lon()}});
}

absl::StatusOr<Condition> GeoFromProto(const pb::GeoPolygon& polygon) {
  GeoPolygon out{RingFromProto(polygon.exterior()), {}};
  for (const pb::GeoRing& hole : polygon.interiors()) out.holes.push_back(RingFromProto(hole));
  return Condition(GeoCondition{polygon.field(), std::move(out)});
}

void TextToProto(const TextCondition& text, pb::MatchText* out) {
  out->set_field(text.field);
  out->set_text(text.text);
  out->set_mode(static_cast<pb::TextMatch>(text.mode));
}

void GeoToProto(const GeoCondition& geo, pb::Condition* out) {
  if (const auto* circle = std::get_if<GeoCircle>(&geo.shape)) {
    pb::GeoRadius* const to = out->mutable_geo_radius();
    to->set_field(geo.field);
    PlaceToProto(circle->center, to->mutable_center());
    to->set_radius_m(circle->radius_m);
  } else if (const auto* box = std::get_if<GeoBox>(&geo.shape)) {
    pb::GeoBox* const to = out->mutable_geo_box();
    to->set_field(geo.field);
    PlaceToProto({box->north, box->west}, to->mutable_top_left());
    PlaceToProto({box->south, box->east}, to->mutable_bottom_right());
  } else {
    const auto& polygon = std::get<GeoPolygon>(geo.shape);
    pb::GeoPolygon* const to = out->mutable_geo_polygon();
    to->set_field(geo.field);
    RingToProto(polygon.exterior, to->mutable_exterior());
    for (const auto& hole : polygon.holes) RingToProto(hole, to->add_interiors());
  }
}

SparseComponents SparseFromProto(const pb::SparseVector& vector) {
  return {{vector.indices().begin(), vector.indices().end()}, {vector.values().begin(), vector.values().end()}};
}

void SparseToProto(const SparseComponents& vector, pb::SparseVector* out) {
  out->mutable_indices()->Add(vector.indices.begin(), vector.indices.end());
  out->mutable_values()->Add(vector.values.begin(), vector.values.end());
}

absl::StatusOr<SparseField> SparseConfigFromProto(const pb::SparseConfig& config) {
  SparseField field;
  field.text_field = config.text_field();
  field.text.language = config.text().language();
  field.text.stop_words.assign(config.text().stop_words().begin(), config.text().stop_words().end());
  if (config.k1() != 0) field.k1 = config.k1();
  if (config.has_b()) field.b = config.b();
  field.idf = config.idf();
  return field;
}

void SparseConfigToProto(const SparseField& field, pb::SparseConfig* out) {
  out->set_text_field(field.text_field);
  if (field.is_text()) {
    out->mutable_text()->set_language(field.text.language);
    for (const std::string& word : field.text.stop_words) out->mutable_text()->add_stop_words(word);
    out->set_k1(field.k1);
    out->set_b(field.b);
  }
  out->set_idf(field.idf);
}

SparseStatistics StatisticsFromProto(const pb::SparseStatistics& statistics) {
  return {statistics.documents(),
          statistics.total_length(),
          {statistics.frequencies().begin(), statistics.frequencies().end()}};
}

void StatisticsToProto(const SparseStatistics& statistics, pb::SparseStatistics* out) {
  out->set_documents(statistics.documents);
  out->set_total_length(statistics.total_length);
  out->mutable_frequencies()->Add(statistics.frequencies.begin(), statistics.frequencies.end());
}

ShardFacet ShardFacetFromProto(const pb::FacetShardResponse& response) {
  ShardFacet facet;
  facet.total = response.total();
  for (const pb::ShardValueCount& count : response.counts()) {
    switch (count.value_case()) {
      case pb::ShardValueCount::kKeyword: facet.counts.push_back({count.keyword(), count.count()}); break;
      case pb::ShardValueCount::kInteger: facet.counts.push_back({count.integer(), count.count()}); break;
      case pb::ShardValueCount::kBoolean: facet.counts.push_back({count.boolean(), count.count()}); break;
      case pb::ShardValueCount::VALUE_NOT_SET: break;
    }
  }
  return facet;
}

void ShardFacetToProto(const ShardFacet& facet, pb::FacetShardResponse* out) {
  out->set_total(facet.total);
  for (const ValueCount& count : facet.counts) {
    pb::ShardValueCount* const to = out->add_counts();
    if (const auto* text = std::get_if<std::string>(&count.value)) {
      to->set_keyword(*text);
    } else if (const auto* number = std::get_if<int64_t>(&count.value)) {
      to->set_integer(*number);
    } else {
      to->set_boolean(std::get<bool>(count.value));
    }
    to->set_count(count.count);
  }
}

}  // namespace alcove::vector_search
