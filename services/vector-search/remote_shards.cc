#include "services/vector-search/remote_shards.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <grpcpp/channel.h>

#include "libs/common/status.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"
#include "services/vector-search/convert.h"

namespace alcove::vector_search {
namespace {

// One call on its way; lives until its callback has run.
template <typename Request, typename Response>
struct Call {
  grpc::ClientContext client;
  Request request;
  Response response;
  CancellationRegistration registration;
};

using AsyncStub = pb::ShardService::StubInterface::async_interface;

// Sends call->request and calls finish(status, call->response).
template <typename Request, typename Response, typename Finish>
void Send(const RequestContext& ctx, AsyncStub* stub,
          void (AsyncStub::*method)(grpc::ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>),
          std::shared_ptr<const std::string> address, std::shared_ptr<Call<Request, Response>> call, Finish finish) {
  // std::function wants a copyable target.
  auto shared = std::make_shared<Finish>(std::move(finish));
  call->registration = rpc::ContextToClient(ctx, call->client);
  (stub->*method)(&call->client, &call->request, &call->response, [call, shared, address](const grpc::Status& status) {
    call->registration.Reset();
    absl::Status result = rpc::FromGrpc(status);
    // What concerns the call itself is the same wherever it is found out.
    if (!absl::IsInvalidArgument(result)) result = Annotate(std::move(result), *address);
    (*shared)(std::move(result), call->response);
  });
}

template <typename T, typename Points, typename Convert>
absl::StatusOr<std::vector<T>> ConvertPoints(Points& points, Convert convert) {
  std::vector<T> out;
  out.reserve(static_cast<size_t>(points.size()));
  for (auto& point : points) {
    ALCOVE_ASSIGN_OR_RETURN(T converted, convert(point));
    out.push_back(std::move(converted));
  }
  return out;
}

}  // namespace

RemoteShards::RemoteShards(std::string address, std::shared_ptr<grpc::Channel> channel)
    : address_(std::make_shared<const std::string>(std::move(address))),
      channel_(std::move(channel)),
      stub_(pb::ShardService::NewStub(channel_)) {}

void RemoteShards::Search(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const SearchQuery> query, Done<std::vector<FoundPoint>> done) {
  auto call = std::make_shared<Call<pb::SearchShardRequest, pb::SearchShardResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  QueryToProto(*query, &call->request);
  Send(ctx, stub_->async(), &AsyncStub::SearchShard, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::SearchShardResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(ConvertPoints<FoundPoint>(*response.mutable_points(), FoundFromEncoded));
       });
}

void RemoteShards::Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
                       Done<std::vector<StoredPoint>> done) {
  auto call = std::make_shared<Call<pb::GetShardPointsRequest, pb::GetShardPointsResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  for (std::string& id : query.ids) call->request.add_ids(std::move(id));
  SelectorToProto(query.payload, call->request.mutable_payload());
  call->request.set_with_vectors(query.with_vectors);
  Send(ctx, stub_->async(), &AsyncStub::GetShardPoints, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::GetShardPointsResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(ConvertPoints<StoredPoint>(*response.mutable_points(), StoredFromEncoded));
       });
}

void RemoteShards::Scroll(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const ScrollQuery> query, Done<std::vector<StoredPoint>> done) {
  auto call = std::make_shared<Call<pb::ScrollShardRequest, pb::ScrollShardResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  call->request.set_after_id(query->after_id);
  call->request.set_limit(query->limit);
  if (!query->filter.empty()) FilterToProto(query->filter, call->request.mutable_filter());
  SelectorToProto(query->payload, call->request.mutable_payload());
  call->request.set_with_vectors(query->with_vectors);
  Send(ctx, stub_->async(), &AsyncStub::ScrollShard, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::ScrollShardResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(ConvertPoints<StoredPoint>(*response.mutable_points(), StoredFromEncoded));
       });
}

void RemoteShards::Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
                         Done<int64_t> done) {
  auto call = std::make_shared<Call<pb::CountShardRequest, pb::CountShardResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  if (!filter->empty()) FilterToProto(*filter, call->request.mutable_filter());
  Send(ctx, stub_->async(), &AsyncStub::CountShard, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::CountShardResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(response.count());
       });
}

void RemoteShards::Statistics(const RequestContext& ctx, const ShardTarget& target,
                              std::shared_ptr<const SearchQuery> query, Done<SparseStatistics> done) {
  auto call = std::make_shared<Call<pb::GetSparseStatisticsRequest, pb::GetSparseStatisticsResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  call->request.set_vector_name(query->vector_name);
  if (!query->sparse.empty()) SparseToProto(query->sparse, call->request.mutable_sparse());
  call->request.set_text(query->text);
  Send(ctx, stub_->async(), &AsyncStub::GetSparseStatistics, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::GetSparseStatisticsResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(StatisticsFromProto(response.statistics()));
       });
}

void RemoteShards::Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
                         Done<ShardFacet> done) {
  auto call = std::make_shared<Call<pb::FacetShardRequest, pb::FacetShardResponse>>();
  TargetToProto(target, call->request.mutable_ref());
  call->request.set_field(query->field);
  if (!query->filter.empty()) FilterToProto(query->filter, call->request.mutable_filter());
  Send(ctx, stub_->async(), &AsyncStub::FacetShard, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::FacetShardResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         done(ShardFacetFromProto(response));
       });
}

void RemoteShards::Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
                          absl::AnyInvocable<void(absl::Status)> done) {
  auto call = std::make_shared<Call<pb::NotifyShardRequest, pb::NotifyShardResponse>>();
  for (const ShardTarget& target : targets) TargetToProto(target, call->request.add_refs());
  call->request.set_wait(wait);
  Send(ctx, stub_->async(), &AsyncStub::NotifyShard, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::NotifyShardResponse&) mutable { done(std::move(status)); });
}

void RemoteShards::Stats(const RequestContext& ctx, store::CollectionId collection,
                         Done<std::vector<HostedStats>> done) {
  auto call = std::make_shared<Call<pb::GetShardStatsRequest, pb::GetShardStatsResponse>>();
  call->request.set_collection_id(collection);
  Send(ctx, stub_->async(), &AsyncStub::GetShardStats, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::GetShardStatsResponse& response) mutable {
         if (!status.ok()) return done(std::move(status));
         std::vector<HostedStats> stats;
         for (const pb::ShardStats& shard : response.shards()) {
           stats.push_back({static_cast<int32_t>(shard.shard()), shard.points(), shard.memory_bytes(),
                            shard.applied_sequence(), shard.log_sequence(), shard.epoch()});
         }
         done(std::move(stats));
       });
}

void RemoteShards::RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  auto call = std::make_shared<Call<pb::RefreshCatalogRequest, pb::RefreshCatalogResponse>>();
  Send(ctx, stub_->async(), &AsyncStub::RefreshCatalog, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::RefreshCatalogResponse&) mutable { done(std::move(status)); });
}

void RemoteShards::Introduce(const RequestContext& ctx, const std::string& self,
                             absl::AnyInvocable<void(absl::Status)> done) {
  auto call = std::make_shared<Call<pb::IntroduceRequest, pb::IntroduceResponse>>();
  call->request.set_address(self);
  call->client.set_wait_for_ready(true);
  Send(ctx, stub_->async(), &AsyncStub::Introduce, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::IntroduceResponse&) mutable { done(std::move(status)); });
}

void RemoteShards::Connect(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  auto call = std::make_shared<Call<pb::GetStatusRequest, pb::GetStatusResponse>>();
  call->client.set_wait_for_ready(true);
  Send(ctx, stub_->async(), &AsyncStub::GetStatus, address_, std::move(call),
       [done = std::move(done)](absl::Status status, pb::GetStatusResponse&) mutable { done(std::move(status)); });
}

}  // namespace alcove::vector_search
