// alcove.vector.v1.VectorService over the coordinator.
#pragma once

#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/rpc/method.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/upsert_stream.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

class VectorFace final : public rpc::Service {
 public:
  // `reads` never blocks, `writes` waits for the store. All outlive the face.
  VectorFace(Coordinator& coordinator, WorkQueue& reads, WorkQueue& writes, const rpc::MethodOptions& options);

#define ALCOVE_UNARY(Name)                                                            \
  void Name(rpc::UnaryCall* call, const ::alcove::vector::v1::Name##Request* request, \
            ::alcove::vector::v1::Name##Response* response);
  ALCOVE_UNARY(CreateCollection)
  ALCOVE_UNARY(GetCollection)
  ALCOVE_UNARY(ListCollections)
  ALCOVE_UNARY(DeleteCollection)
  ALCOVE_UNARY(UpsertPoints)
  ALCOVE_UNARY(UpdatePoints)
  ALCOVE_UNARY(DeletePoints)
  ALCOVE_UNARY(GetPoints)
  ALCOVE_UNARY(ScrollPoints)
  ALCOVE_UNARY(CountPoints)
  ALCOVE_UNARY(FacetPoints)
  ALCOVE_UNARY(SearchPoints)
  ALCOVE_UNARY(BatchSearchPoints)
  ALCOVE_UNARY(RecommendPoints)
  ALCOVE_UNARY(SetAlias)
  ALCOVE_UNARY(ListAliases)
  ALCOVE_UNARY(DeleteAlias)
  ALCOVE_UNARY(StartResharding)
  ALCOVE_UNARY(GetResharding)
  ALCOVE_UNARY(CancelResharding)
#undef ALCOVE_UNARY
  rpc::BidiReactor<::alcove::vector::v1::StreamUpsertPointsRequest, ::alcove::vector::v1::StreamUpsertPointsResponse>*
  StreamUpsertPoints(rpc::ServerCall* call);

  // Ends uploads under way once what they have sent is stored.
  void BeginDrain() { streams_.BeginDrain(); }

 private:
  Coordinator& coordinator_;
  WorkQueue& reads_;
  WorkQueue& writes_;
  rpc::UnaryMethod create_collection_, get_collection_, list_collections_, delete_collection_, upsert_points_,
      delete_points_, get_points_, scroll_points_, count_points_, search_points_, batch_search_points_,
      recommend_points_, update_points_, facet_points_, set_alias_, list_aliases_, delete_alias_, start_resharding_,
      get_resharding_, cancel_resharding_;
  UpsertStreams streams_;
};

}  // namespace alcove::vector_search
