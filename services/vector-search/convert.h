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

// Between processes. Replies are checked: a point's payload passes ValidatePayload or the reply is an INTERNAL error.
absl::StatusOr<SearchQuery> QueryFromProto(const pb::SearchShardRequest& request);
void QueryToProto(const SearchQuery& query, pb::SearchShardRequest* out);
ShardTarget TargetFromProto(const pb::ShardRef& ref);
void TargetToProto(const ShardTarget& target, pb::ShardRef* out);
void EncodedToProto(const FoundPoint& point, pb::EncodedPoint* out);
void EncodedToProto(const StoredPoint& point, pb::EncodedPoint* out);
absl::StatusOr<FoundPoint> FoundFromEncoded(pb::EncodedPoint& point);
absl::StatusOr<StoredPoint> StoredFromEncoded(pb::EncodedPoint& point);

}  // namespace alcove::vector_search
