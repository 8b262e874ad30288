// Protos to domain values and back. The only place besides service.cc, shard_service.cc and remote_shards.cc that knows
// the messages.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "alcove/vector/v1/shard.pb.h"
#include "alcove/vector/v1/types.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "services/vector-search/coordinator/coordinator.h"

namespace alcove::vector_search {

namespace pb = ::alcove::vector::v1;

// Payload bytes of a JSON object; empty for an empty one. INVALID_ARGUMENT: too deep, too large, NaN.
absl::StatusOr<std::string> PayloadFromProto(const google::protobuf::Struct& object);
// `payload` passed ValidatePayload.
void PayloadToProto(absl::string_view payload, google::protobuf::Struct* out);

absl::StatusOr<Filter> FilterFromProto(const pb::Filter& filter);
void FilterToProto(const Filter& filter, pb::Filter* out);
PayloadSelector SelectorFromProto(const pb::PayloadSelector& selector);
void SelectorToProto(const PayloadSelector& selector, pb::PayloadSelector* out);

// Zero settings take their defaults.
absl::StatusOr<CollectionConfig> ConfigFromProto(const pb::Collection& collection);
void CollectionToProto(const CollectionView& view, pb::Collection* out);

absl::StatusOr<StoredPoint> PointFromProto(const pb::Point& point);
void PointToProto(const StoredPoint& point, pb::Point* out);
void FoundToProto(const FoundPoint& point, pb::ScoredPoint* out);

absl::StatusOr<UpsertCall> UpsertFromProto(const pb::UpsertPointsRequest& request);
absl::StatusOr<DeleteCall> DeleteFromProto(const pb::DeletePointsRequest& request);
GetCall GetFromProto(const pb::GetPointsRequest& request);
absl::StatusOr<ScrollCall> ScrollFromProto(const pb::ScrollPointsRequest& request);
absl::StatusOr<SearchCall> SearchFromProto(const pb::SearchPointsRequest& request);
void SearchToProto(const SearchReply& reply, pb::SearchPointsResponse* out);
absl::StatusOr<RecommendCall> RecommendFromProto(const pb::RecommendPointsRequest& request);
void RecommendToProto(const SearchReply& reply, pb::RecommendPointsResponse* out);
absl::StatusOr<FacetCall> FacetFromProto(const pb::FacetPointsRequest& request);
void FacetToProto(const FacetReply& reply, pb::FacetPointsResponse* out);
absl::StatusOr<UpdateCall> UpdateFromProto(const pb::UpdatePointsRequest& request);

absl::StatusOr<Condition> TextFromProto(const pb::MatchText& text);
absl::StatusOr<Condition> GeoFromProto(const pb::GeoRadius& radius);
absl::StatusOr<Condition> GeoFromProto(const pb::GeoBox& box);
absl::StatusOr<Condition> GeoFromProto(const pb::GeoPolygon& polygon);
void TextToProto(const TextCondition& text, pb::MatchText* out);
void GeoToProto(const GeoCondition& geo, pb::Condition* out);

SparseComponents SparseFromProto(const pb::SparseVector& vector);
void SparseToProto(const SparseComponents& vector, pb::SparseVector* out);
absl::StatusOr<SparseField> SparseConfigFromProto(const pb::SparseConfig& config);
void SparseConfigToProto(const SparseField& field, pb::SparseConfig* out);

// Between processes. Replies are checked: a point's payload passes ValidatePayload or the reply is an INTERNAL error.
absl::StatusOr<SearchQuery> QueryFromProto(const pb::SearchShardRequest& request);
void QueryToProto(const SearchQuery& query, pb::SearchShardRequest* out);
ShardTarget TargetFromProto(const pb::ShardRef& ref);
void TargetToProto(const ShardTarget& target, pb::ShardRef* out);
void EncodedToProto(const FoundPoint& point, pb::EncodedPoint* out);
void EncodedToProto(const StoredPoint& point, pb::EncodedPoint* out);
SparseStatistics StatisticsFromProto(const pb::SparseStatistics& statistics);
void StatisticsToProto(const SparseStatistics& statistics, pb::SparseStatistics* out);
ShardFacet ShardFacetFromProto(const pb::FacetShardResponse& response);
void ShardFacetToProto(const ShardFacet& facet, pb::FacetShardResponse* out);
absl::StatusOr<FoundPoint> FoundFromEncoded(pb::EncodedPoint& point);
absl::StatusOr<StoredPoint> StoredFromEncoded(pb::EncodedPoint& point);

}  // namespace alcove::vector_search
