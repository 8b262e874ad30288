#include "services/vector-search/service.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/rpc/status.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/handler.h"

namespace alcove::vector_search {
namespace {

struct Nothing {};

}  // namespace

VectorFace::VectorFace(Coordinator& coordinator, WorkQueue& reads, WorkQueue& writes, const rpc::MethodOptions& options)
    : Service(pb::VectorService::service_full_name()),
      coordinator_(coordinator),
      reads_(reads),
      writes_(writes),
      create_collection_(options, pb::VectorService::service_full_name(), "CreateCollection"),
      get_collection_(options, pb::VectorService::service_full_name(), "GetCollection"),
      list_collections_(options, pb::VectorService::service_full_name(), "ListCollections"),
      delete_collection_(options, pb::VectorService::service_full_name(), "DeleteCollection"),
      upsert_points_(options, pb::VectorService::service_full_name(), "UpsertPoints"),
      delete_points_(options, pb::VectorService::service_full_name(), "DeletePoints"),
      get_points_(options, pb::VectorService::service_full_name(), "GetPoints"),
      scroll_points_(options, pb::VectorService::service_full_name(), "ScrollPoints"),
      count_points_(options, pb::VectorService::service_full_name(), "CountPoints"),
      search_points_(options, pb::VectorService::service_full_name(), "SearchPoints"),
      batch_search_points_(options, pb::VectorService::service_full_name(), "BatchSearchPoints"),
      recommend_points_(options, pb::VectorService::service_full_name(), "RecommendPoints"),
      update_points_(options, pb::VectorService::service_full_name(), "UpdatePoints"),
      facet_points_(options, pb::VectorService::service_full_name(), "FacetPoints"),
      set_alias_(options, pb::VectorService::service_full_name(), "SetAlias"),
      list_aliases_(options, pb::VectorService::service_full_name(), "ListAliases"),
      delete_alias_(options, pb::VectorService::service_full_name(), "DeleteAlias"),
      start_resharding_(options, pb::VectorService::service_full_name(), "StartResharding"),
      get_resharding_(options, pb::VectorService::service_full_name(), "GetResharding"),
      cancel_resharding_(options, pb::VectorService::service_full_name(), "CancelResharding"),
      streams_(coordinator, writes, options) {
  Unary("CreateCollection", &VectorFace::CreateCollection);
  Unary("GetCollection", &VectorFace::GetCollection);
  Unary("ListCollections", &VectorFace::ListCollections);
  Unary("DeleteCollection", &VectorFace::DeleteCollection);
  Unary("UpsertPoints", &VectorFace::UpsertPoints);
  Unary("UpdatePoints", &VectorFace::UpdatePoints);
  Unary("DeletePoints", &VectorFace::DeletePoints);
  Unary("GetPoints", &VectorFace::GetPoints);
  Unary("ScrollPoints", &VectorFace::ScrollPoints);
  Unary("CountPoints", &VectorFace::CountPoints);
  Unary("FacetPoints", &VectorFace::FacetPoints);
  Unary("SearchPoints", &VectorFace::SearchPoints);
  Unary("BatchSearchPoints", &VectorFace::BatchSearchPoints);
  Unary("RecommendPoints", &VectorFace::RecommendPoints);
  Unary("SetAlias", &VectorFace::SetAlias);
  Unary("ListAliases", &VectorFace::ListAliases);
  Unary("DeleteAlias", &VectorFace::DeleteAlias);
  Unary("StartResharding", &VectorFace::StartResharding);
  Unary("GetResharding", &VectorFace::GetResharding);
  Unary("CancelResharding", &VectorFace::CancelResharding);
  BidiStreaming("StreamUpsertPoints", &VectorFace::StreamUpsertPoints);
}

void VectorFace::CreateCollection(rpc::UnaryCall* call, const pb::CreateCollectionRequest* request,
                                  pb::CreateCollectionResponse* response) {
  return Answer<CollectionView>(
      create_collection_, call, writes_,
      [=, this](const RequestContext& ctx, Done<CollectionView> done) {
        const pb::Collection& collection = request->collection();
        auto config = ConfigFromProto(collection);
        if (!config.ok()) return done(config.status());
        done(coordinator_.CreateCollection(ctx, collection.name(), *config, collection.shard_count()));
      },
      [=](CollectionView view) { CollectionToProto(view, response->mutable_collection()); });
}

void VectorFace::GetCollection(rpc::UnaryCall* call, const pb::GetCollectionRequest* request,
                               pb::GetCollectionResponse* response) {
  return Answer<CollectionView>(
      get_collection_, call, reads_,
      [=, this](const RequestContext& ctx, Done<CollectionView> done) {
        coordinator_.GetCollection(ctx, request->name(), std::move(done));
      },
      [=](CollectionView view) { CollectionToProto(view, response->mutable_collection()); });
}

void VectorFace::ListCollections(rpc::UnaryCall* call, const pb::ListCollectionsRequest* request,
                                 pb::ListCollectionsResponse* response) {
  return Answer<CollectionList>(
      list_collections_, call, writes_,
      [=, this](const RequestContext& ctx, Done<CollectionList> done) {
        coordinator_.ListCollections(ctx, request->page_size(), request->page_token(), std::move(done));
      },
      [=](CollectionList list) {
        for (const CollectionView& view : list.collections) CollectionToProto(view, response->add_collections());
        response->set_next_page_token(list.next_page_token);
      });
}

void VectorFace::DeleteCollection(rpc::UnaryCall* call, const pb::DeleteCollectionRequest* request,
                                  pb::DeleteCollectionResponse* response) {
  return Answer<Nothing>(
      delete_collection_, call, writes_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        absl::Status status = coordinator_.DeleteCollection(ctx, request->name());
        if (!status.ok()) return done(std::move(status));
        done(Nothing());
      },
      [](Nothing) {});
}

void VectorFace::UpsertPoints(rpc::UnaryCall* call, const pb::UpsertPointsRequest* request,
                              pb::UpsertPointsResponse* response) {
  return Answer<WriteReply>(
      upsert_points_, call, writes_,
      [=, this](const RequestContext& ctx, Done<WriteReply> done) {
        auto call = UpsertFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Upsert(ctx, *std::move(call), std::move(done));
      },
      [=](WriteReply reply) {
        response->set_upserted(reply.count);
        response->set_sequence(std::move(reply.sequence));
      });
}

rpc::BidiReactor<pb::StreamUpsertPointsRequest, pb::StreamUpsertPointsResponse>* VectorFace::StreamUpsertPoints(
    rpc::ServerCall* call) {
  return streams_.Open(call);
}

void VectorFace::DeletePoints(rpc::UnaryCall* call, const pb::DeletePointsRequest* request,
                              pb::DeletePointsResponse* response) {
  return Answer<WriteReply>(
      delete_points_, call, writes_,
      [=, this](const RequestContext& ctx, Done<WriteReply> done) {
        auto call = DeleteFromProto(*request);
        if (!call.ok()) return done(call.status());
        done(coordinator_.Delete(ctx, *std::move(call)));
      },
      [=](WriteReply reply) {
        response->set_deleted(reply.count);
        response->set_sequence(std::move(reply.sequence));
      });
}

void VectorFace::GetPoints(rpc::UnaryCall* call, const pb::GetPointsRequest* request, pb::GetPointsResponse* response) {
  return Answer<std::vector<StoredPoint>>(
      get_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<StoredPoint>> done) {
        coordinator_.Get(ctx, GetFromProto(*request), std::move(done));
      },
      [=](std::vector<StoredPoint> points) {
        for (const StoredPoint& point : points) PointToProto(point, response->add_points());
      },
      Expect::kShort);
}

void VectorFace::ScrollPoints(rpc::UnaryCall* call, const pb::ScrollPointsRequest* request,
                              pb::ScrollPointsResponse* response) {
  return Answer<ScrollReply>(
      scroll_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<ScrollReply> done) {
        auto call = ScrollFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Scroll(ctx, *std::move(call), std::move(done));
      },
      [=](ScrollReply reply) {
        for (const StoredPoint& point : reply.points) PointToProto(point, response->add_points());
        response->set_next_page_token(std::move(reply.next_page_token));
      });
}

void VectorFace::CountPoints(rpc::UnaryCall* call, const pb::CountPointsRequest* request,
                             pb::CountPointsResponse* response) {
  return Answer<int64_t>(
      count_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<int64_t> done) {
        auto filter = FilterFromProto(request->filter());
        if (!filter.ok()) return done(filter.status());
        coordinator_.Count(ctx, {request->collection(), *std::move(filter), request->min_sequence()}, std::move(done));
      },
      [=](int64_t count) { response->set_count(count); });
}

void VectorFace::SearchPoints(rpc::UnaryCall* call, const pb::SearchPointsRequest* request,
                              pb::SearchPointsResponse* response) {
  return Answer<SearchReply>(
      search_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<SearchReply> done) {
        auto call = SearchFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Search(ctx, *std::move(call), std::move(done));
      },
      [=](SearchReply reply) { SearchToProto(reply, response); }, Expect::kShort);
}

void VectorFace::BatchSearchPoints(rpc::UnaryCall* call, const pb::BatchSearchPointsRequest* request,
                                   pb::BatchSearchPointsResponse* response) {
  return Answer<std::vector<SearchReply>>(
      batch_search_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<SearchReply>> done) {
        std::vector<SearchCall> calls;
        // The coordinator refuses more; there is no need to convert them first.
        if (static_cast<size_t>(request->searches_size()) <= kMaxBatchSearches) {
          for (int i = 0; i < request->searches_size(); ++i) {
            auto call = SearchFromProto(request->searches(i));
            if (!call.ok()) return done(Annotate(call.status(), absl::StrCat("searches[", i, "]")));
            if (call->collection.empty()) call->collection = request->collection();
            if (call->collection != request->collection()) {
              return done(InvalidField(absl::StrCat("searches[", i, "].collection"),
                                       "must be empty or the collection of the batch"));
            }
            calls.push_back(*std::move(call));
          }
        } else {
          calls.resize(kMaxBatchSearches + 1);
        }
        coordinator_.SearchBatch(ctx, std::move(calls), std::move(done));
      },
      [=](std::vector<SearchReply> replies) {
        for (const SearchReply& reply : replies) SearchToProto(reply, response->add_results());
      });
}

void VectorFace::RecommendPoints(rpc::UnaryCall* call, const pb::RecommendPointsRequest* request,
                                 pb::RecommendPointsResponse* response) {
  return Answer<SearchReply>(
      recommend_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<SearchReply> done) {
        auto call = RecommendFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Recommend(ctx, *std::move(call), std::move(done));
      },
      [=](SearchReply reply) { RecommendToProto(reply, response); });
}

void VectorFace::FacetPoints(rpc::UnaryCall* call, const pb::FacetPointsRequest* request,
                             pb::FacetPointsResponse* response) {
  return Answer<FacetReply>(
      facet_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<FacetReply> done) {
        auto call = FacetFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Facet(ctx, *std::move(call), std::move(done));
      },
      [=](FacetReply reply) { FacetToProto(reply, response); });
}

void VectorFace::UpdatePoints(rpc::UnaryCall* call, const pb::UpdatePointsRequest* request,
                              pb::UpdatePointsResponse* response) {
  return Answer<WriteReply>(
      update_points_, call, writes_,
      [=, this](const RequestContext& ctx, Done<WriteReply> done) {
        auto call = UpdateFromProto(*request);
        if (!call.ok()) return done(call.status());
        coordinator_.Update(ctx, *std::move(call), std::move(done));
      },
      [=](WriteReply reply) {
        response->set_updated(reply.count);
        response->set_sequence(std::move(reply.sequence));
      });
}

}  // namespace alcove::vector_search
