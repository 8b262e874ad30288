#include "services/vector-search/remote_shards.h"

#include <type_traits>
#include <utility>

#include "alcove/vector/v1/shard.pb.h"
#include "libs/common/status.h"
#include "services/vector-search/convert.h"

namespace alcove::vector_search {
namespace {

// Answers up to this long are looked at on the loop.
constexpr size_t kShortAnswer = 64 * 1024;

#define ALCOVE_SHARD_METHOD(Name) constexpr std::string_view k##Name = "/alcove.vector.v1.ShardService/" #Name
ALCOVE_SHARD_METHOD(SearchShard);
ALCOVE_SHARD_METHOD(GetShardPoints);
ALCOVE_SHARD_METHOD(ScrollShard);
ALCOVE_SHARD_METHOD(CountShard);
ALCOVE_SHARD_METHOD(GetSparseStatistics);
ALCOVE_SHARD_METHOD(FacetShard);
ALCOVE_SHARD_METHOD(NotifyShard);
ALCOVE_SHARD_METHOD(GetShardStats);
ALCOVE_SHARD_METHOD(RefreshCatalog);
ALCOVE_SHARD_METHOD(Introduce);
ALCOVE_SHARD_METHOD(GetStatus);
#undef ALCOVE_SHARD_METHOD

template <typename Response, typename Finish>
void Answer(Finish& finish, absl::StatusOr<std::string_view> reply) {
  Response response;
  if (!reply.ok()) return finish(reply.status(), response);
  if (!response.ParseFromArray(reply->data(), static_cast<int>(reply->size()))) {
    return finish(absl::InternalError("the answer of another process cannot be read"), response);
  }
  finish(absl::OkStatus(), response);
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

RemoteShards::RemoteShards(std::unique_ptr<rpc::Client> client, TaskPool* pool)
    : client_(std::move(client)), pool_(pool) {}

// Calls finish(status, response).
template <typename Response, typename Request, typename Finish>
void RemoteShards::Send(const RequestContext& ctx, std::string_view method, const Request& request, Finish finish,
                        bool wait_for_ready) {
  constexpr bool kFound = std::is_same_v<Response, pb::SearchShardResponse>;
  client_->Call(ctx, method, request,
                [pool = pool_, address = client_->address(),
                 finish = std::move(finish)](absl::StatusOr<std::string_view> reply) mutable {
                  if (kFound && reply.ok() && reply->size() <= kShortAnswer) return Answer<Response>(finish, reply);
                  absl::StatusOr<std::string> kept("");
                  if (reply.ok()) {
                    kept->assign(*reply);
                  } else if (absl::IsInvalidArgument(reply.status())) {
                    kept = reply.status();  // what concerns the call itself is the same wherever it is found out
                  } else {
                    kept = Annotate(reply.status(), address);
                  }
                  pool->Submit([finish = std::move(finish), kept = std::move(kept)]() mutable {
                    Answer<Response>(finish, kept.ok() ? absl::StatusOr<std::string_view>(*kept) : kept.status());
                  });
                },
                {.wait_for_ready = wait_for_ready});
}

void RemoteShards::Search(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const SearchQuery> query, Done<std::vector<FoundPoint>> done) {
  pb::SearchShardRequest request;
  TargetToProto(target, request.mutable_ref());
  QueryToProto(*query, &request);
  Send<pb::SearchShardResponse>(
      ctx, kSearchShard, request,
      [done = std::move(done)](absl::Status status, pb::SearchShardResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(ConvertPoints<FoundPoint>(*response.mutable_points(), FoundFromEncoded));
      });
}

void RemoteShards::Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
                       Done<std::vector<StoredPoint>> done) {
  pb::GetShardPointsRequest request;
  TargetToProto(target, request.mutable_ref());
  for (std::string& id : query.ids) request.add_ids(std::move(id));
  SelectorToProto(query.payload, request.mutable_payload());
  request.set_with_vectors(query.with_vectors);
  Send<pb::GetShardPointsResponse>(
      ctx, kGetShardPoints, request,
      [done = std::move(done)](absl::Status status, pb::GetShardPointsResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(ConvertPoints<StoredPoint>(*response.mutable_points(), StoredFromEncoded));
      });
}

void RemoteShards::Scroll(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const ScrollQuery> query, Done<std::vector<StoredPoint>> done) {
  pb::ScrollShardRequest request;
  TargetToProto(target, request.mutable_ref());
  request.set_after_id(query->after_id);
  request.set_limit(query->limit);
  if (!query->filter.empty()) FilterToProto(query->filter, request.mutable_filter());
  SelectorToProto(query->payload, request.mutable_payload());
  request.set_with_vectors(query->with_vectors);
  Send<pb::ScrollShardResponse>(
      ctx, kScrollShard, request,
      [done = std::move(done)](absl::Status status, pb::ScrollShardResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(ConvertPoints<StoredPoint>(*response.mutable_points(), StoredFromEncoded));
      });
}

void RemoteShards::Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
                         Done<int64_t> done) {
  pb::CountShardRequest request;
  TargetToProto(target, request.mutable_ref());
  if (!filter->empty()) FilterToProto(*filter, request.mutable_filter());
  Send<pb::CountShardResponse>(ctx, kCountShard, request,
                               [done = std::move(done)](absl::Status status, pb::CountShardResponse& response) mutable {
                                 if (!status.ok()) return done(std::move(status));
                                 done(response.count());
                               });
}

void RemoteShards::Statistics(const RequestContext& ctx, const ShardTarget& target,
                              std::shared_ptr<const SearchQuery> query, Done<SparseStatistics> done) {
  pb::GetSparseStatisticsRequest request;
  TargetToProto(target, request.mutable_ref());
  request.set_vector_name(query->vector_name);
  if (!query->sparse.empty()) SparseToProto(query->sparse, request.mutable_sparse());
  request.set_text(query->text);
  Send<pb::GetSparseStatisticsResponse>(
      ctx, kGetSparseStatistics, request,
      [done = std::move(done)](absl::Status status, pb::GetSparseStatisticsResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        done(StatisticsFromProto(response.statistics()));
      });
}

void RemoteShards::Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
                         Done<ShardFacet> done) {
  pb::FacetShardRequest request;
  TargetToProto(target, request.mutable_ref());
  request.set_field(query->field);
  if (!query->filter.empty()) FilterToProto(query->filter, request.mutable_filter());
  Send<pb::FacetShardResponse>(ctx, kFacetShard, request,
                               [done = std::move(done)](absl::Status status, pb::FacetShardResponse& response) mutable {
                                 if (!status.ok()) return done(std::move(status));
                                 done(ShardFacetFromProto(response));
                               });
}

void RemoteShards::Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
                          absl::AnyInvocable<void(absl::Status)> done) {
  pb::NotifyShardRequest request;
  for (const ShardTarget& target : targets) TargetToProto(target, request.add_refs());
  request.set_wait(wait);
  Send<pb::NotifyShardResponse>(
      ctx, kNotifyShard, request,
      [done = std::move(done)](absl::Status status, pb::NotifyShardResponse&) mutable { done(std::move(status)); });
}

void RemoteShards::Stats(const RequestContext& ctx, store::CollectionId collection,
                         Done<std::vector<HostedStats>> done) {
  pb::GetShardStatsRequest request;
  request.set_collection_id(collection);
  Send<pb::GetShardStatsResponse>(
      ctx, kGetShardStats, request,
      [done = std::move(done)](absl::Status status, pb::GetShardStatsResponse& response) mutable {
        if (!status.ok()) return done(std::move(status));
        std::vector<HostedStats> stats;
        for (const pb::ShardStats& shard : response.shards()) {
          stats.push_back({static_cast<int32_t>(shard.shard()), shard.points(), shard.memory_bytes(),
                           shard.applied_sequence(), shard.log_sequence(), shard.epoch(), shard.disk_bytes()});
        }
        done(std::move(stats));
      });
}

void RemoteShards::RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  pb::RefreshCatalogRequest request;
  Send<pb::RefreshCatalogResponse>(
      ctx, kRefreshCatalog, request,
      [done = std::move(done)](absl::Status status, pb::RefreshCatalogResponse&) mutable { done(std::move(status)); });
}

void RemoteShards::Introduce(const RequestContext& ctx, const std::string& self,
                             absl::AnyInvocable<void(absl::Status)> done) {
  pb::IntroduceRequest request;
  request.set_address(self);
  Send<pb::IntroduceResponse>(
      ctx, kIntroduce, request,
      [done = std::move(done)](absl::Status status, pb::IntroduceResponse&) mutable { done(std::move(status)); }, true);
}

void RemoteShards::Connect(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  client_->Reconnect();
  pb::GetStatusRequest request;
  Send<pb::GetStatusResponse>(
      ctx, kGetStatus, request,
      [done = std::move(done)](absl::Status status, pb::GetStatusResponse&) mutable { done(std::move(status)); }, true);
}

}  // namespace alcove::vector_search
