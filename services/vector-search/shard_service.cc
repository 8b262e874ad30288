#include "services/vector-search/shard_service.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>

#include "libs/common/memory.h"
#include "libs/common/status.h"
#include "libs/common/version.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/handler.h"

namespace alcove::vector_search {
namespace {

// A coordinator asks for at most offset + limit, and for pages of 10,000 ids when it deletes by filter.
constexpr uint32_t kMaxShardLimit = kMaxLimit + kMaxOffset;
constexpr int kMaxNotifyRefs = 65536;

absl::Status CheckLimit(uint32_t limit) {
  if (limit <= kMaxShardLimit) return absl::OkStatus();
  return InvalidField("limit", absl::StrCat("must be at most ", kMaxShardLimit, ", not ", limit));
}

struct Nothing {};

}  // namespace

ShardFace::ShardFace(ShardHost& host, Catalog& catalog, LocalShards& shards, WorkQueue& reads,
                     const rpc::MethodOptions& options)
    : Service(pb::ShardService::service_full_name()),
      host_(host),
      catalog_(catalog),
      shards_(shards),
      reads_(reads),
      started_at_(absl::Now()),
      search_shard_(options, pb::ShardService::service_full_name(), "SearchShard"),
      get_shard_points_(options, pb::ShardService::service_full_name(), "GetShardPoints"),
      scroll_shard_(options, pb::ShardService::service_full_name(), "ScrollShard"),
      count_shard_(options, pb::ShardService::service_full_name(), "CountShard"),
      notify_shard_(options, pb::ShardService::service_full_name(), "NotifyShard"),
      get_shard_stats_(options, pb::ShardService::service_full_name(), "GetShardStats"),
      refresh_catalog_(options, pb::ShardService::service_full_name(), "RefreshCatalog"),
      introduce_(options, pb::ShardService::service_full_name(), "Introduce"),
      get_status_(options, pb::ShardService::service_full_name(), "GetStatus"),
      get_sparse_statistics_(options, pb::ShardService::service_full_name(), "GetSparseStatistics"),
      facet_shard_(options, pb::ShardService::service_full_name(), "FacetShard") {
  Unary("SearchShard", &ShardFace::SearchShard);
  Unary("GetShardPoints", &ShardFace::GetShardPoints);
  Unary("ScrollShard", &ShardFace::ScrollShard);
  Unary("CountShard", &ShardFace::CountShard);
  Unary("GetSparseStatistics", &ShardFace::GetSparseStatistics);
  Unary("FacetShard", &ShardFace::FacetShard);
  Unary("NotifyShard", &ShardFace::NotifyShard);
  Unary("GetShardStats", &ShardFace::GetShardStats);
  Unary("RefreshCatalog", &ShardFace::RefreshCatalog);
  Unary("Introduce", &ShardFace::Introduce);
  Unary("GetStatus", &ShardFace::GetStatus);
}

void ShardFace::SetAddress(const std::string& address) {
  absl::MutexLock lock(&mutex_);
  address_ = address;
}

void ShardFace::SetDraining() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
}

void ShardFace::SearchShard(rpc::UnaryCall* call, const pb::SearchShardRequest* request,
                            pb::SearchShardResponse* response) {
  return Answer<std::vector<FoundPoint>>(
      search_shard_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<FoundPoint>> done) {
        if (absl::Status status = CheckLimit(request->limit()); !status.ok()) return done(status);
        auto query = QueryFromProto(*request);
        if (!query.ok()) return done(query.status());
        shards_.Search(ctx, TargetFromProto(request->ref()), std::make_shared<const SearchQuery>(*std::move(query)),
                       std::move(done));
      },
      [=](std::vector<FoundPoint> points) {
        for (const FoundPoint& point : points) EncodedToProto(point, response->add_points());
      },
      Expect::kShort);
}

void ShardFace::GetShardPoints(rpc::UnaryCall* call, const pb::GetShardPointsRequest* request,
                               pb::GetShardPointsResponse* response) {
  return Answer<std::vector<StoredPoint>>(
      get_shard_points_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<StoredPoint>> done) {
        if (absl::Status status = CheckLimit(static_cast<uint32_t>(request->ids_size())); !status.ok()) {
          return done(status);
        }
        GetQuery query{{request->ids().begin(), request->ids().end()},
                       SelectorFromProto(request->payload()),
                       request->with_vectors()};
        shards_.Get(ctx, TargetFromProto(request->ref()), std::move(query), std::move(done));
      },
      [=](std::vector<StoredPoint> points) {
        for (const StoredPoint& point : points) EncodedToProto(point, response->add_points());
      },
      Expect::kShort);
}

void ShardFace::ScrollShard(rpc::UnaryCall* call, const pb::ScrollShardRequest* request,
                            pb::ScrollShardResponse* response) {
  return Answer<std::vector<StoredPoint>>(
      scroll_shard_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<StoredPoint>> done) {
        if (absl::Status status = CheckLimit(request->limit()); !status.ok()) return done(status);
        auto filter = FilterFromProto(request->filter());
        if (!filter.ok()) return done(filter.status());
        auto query = std::make_shared<ScrollQuery>();
        query->after_id = request->after_id();
        query->limit = request->limit();
        query->filter = *std::move(filter);
        query->payload = SelectorFromProto(request->payload());
        query->with_vectors = request->with_vectors();
        shards_.Scroll(ctx, TargetFromProto(request->ref()), std::move(query), std::move(done));
      },
      [=](std::vector<StoredPoint> points) {
        for (const StoredPoint& point : points) EncodedToProto(point, response->add_points());
      });
}

void ShardFace::CountShard(rpc::UnaryCall* call, const pb::CountShardRequest* request,
                           pb::CountShardResponse* response) {
  return Answer<int64_t>(
      count_shard_, call, reads_,
      [=, this](const RequestContext& ctx, Done<int64_t> done) {
        auto filter = FilterFromProto(request->filter());
        if (!filter.ok()) return done(filter.status());
        shards_.Count(ctx, TargetFromProto(request->ref()), std::make_shared<const Filter>(*std::move(filter)),
                      std::move(done));
      },
      [=](int64_t count) { response->set_count(count); });
}

void ShardFace::GetSparseStatistics(rpc::UnaryCall* call, const pb::GetSparseStatisticsRequest* request,
                                    pb::GetSparseStatisticsResponse* response) {
  return Answer<SparseStatistics>(
      get_sparse_statistics_, call, reads_,
      [=, this](const RequestContext& ctx, Done<SparseStatistics> done) {
        auto query = std::make_shared<SearchQuery>();
        query->vector_name = request->vector_name();
        query->sparse = SparseFromProto(request->sparse());
        query->text = request->text();
        shards_.Statistics(ctx, TargetFromProto(request->ref()), std::move(query), std::move(done));
      },
      [=](const SparseStatistics& statistics) { StatisticsToProto(statistics, response->mutable_statistics()); });
}

void ShardFace::FacetShard(rpc::UnaryCall* call, const pb::FacetShardRequest* request,
                           pb::FacetShardResponse* response) {
  return Answer<ShardFacet>(
      facet_shard_, call, reads_,
      [=, this](const RequestContext& ctx, Done<ShardFacet> done) {
        auto filter = FilterFromProto(request->filter());
        if (!filter.ok()) return done(filter.status());
        auto query = std::make_shared<FacetQuery>();
        query->field = request->field();
        query->filter = *std::move(filter);
        shards_.Facet(ctx, TargetFromProto(request->ref()), std::move(query), std::move(done));
      },
      [=](const ShardFacet& facet) { ShardFacetToProto(facet, response); });
}

void ShardFace::NotifyShard(rpc::UnaryCall* call, const pb::NotifyShardRequest* request,
                            pb::NotifyShardResponse* response) {
  return Answer<Nothing>(
      notify_shard_, call, reads_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        if (request->refs_size() > kMaxNotifyRefs) return done(InvalidField("refs", "are too many"));
        std::vector<ShardTarget> targets;
        for (const pb::ShardRef& ref : request->refs()) targets.push_back(TargetFromProto(ref));
        shards_.Notify(ctx, std::move(targets), request->wait(), [done = std::move(done)](absl::Status status) mutable {
          if (!status.ok()) return done(std::move(status));
          done(Nothing());
        });
      },
      [](Nothing) {});
}

void ShardFace::GetShardStats(rpc::UnaryCall* call, const pb::GetShardStatsRequest* request,
                              pb::GetShardStatsResponse* response) {
  return Answer<std::vector<HostedStats>>(
      get_shard_stats_, call, reads_,
      [=, this](const RequestContext& ctx, Done<std::vector<HostedStats>> done) {
        shards_.Stats(ctx, request->collection_id(), std::move(done));
      },
      [=](const std::vector<HostedStats>& all) {
        for (const HostedStats& stats : all) {
          pb::ShardStats* out = response->add_shards();
          out->set_shard(static_cast<uint32_t>(stats.shard));
          out->set_points(stats.points);
          out->set_memory_bytes(stats.memory_bytes);
          out->set_applied_sequence(stats.applied);
          out->set_log_sequence(stats.head);
          out->set_epoch(stats.epoch);
          out->set_disk_bytes(stats.disk_bytes);
        }
      });
}

void ShardFace::RefreshCatalog(rpc::UnaryCall* call, const pb::RefreshCatalogRequest* request,
                               pb::RefreshCatalogResponse* response) {
  return Answer<Nothing>(
      refresh_catalog_, call, reads_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        if (absl::Status status = catalog_.Refresh(); !status.ok()) return done(std::move(status));
        done(Nothing());
      },
      [](Nothing) {});
}

void ShardFace::Introduce(rpc::UnaryCall* call, const pb::IntroduceRequest* request, pb::IntroduceResponse* response) {
  return Answer<Nothing>(
      introduce_, call, reads_,
      [=, this](const RequestContext& ctx, Done<Nothing> done) {
        const auto peer = peers_.find(request->address());
        // A process this one's configuration does not know is not asked anything either.
        if (peer == peers_.end()) return done(Nothing());
        peer->second(ctx, [done = std::move(done)](absl::Status status) mutable {
          if (!status.ok()) return done(std::move(status));
          done(Nothing());
        });
      },
      [](Nothing) {});
}

void ShardFace::GetStatus(rpc::UnaryCall* call, const pb::GetStatusRequest* request, pb::GetStatusResponse* response) {
  return get_status_.Handle(call, [=, this](const RequestContext&) { return FillStatus(response); });
}

absl::Status ShardFace::FillStatus(pb::GetStatusResponse* response) const {
  common::v1::ProcessStatus& process = *response->mutable_process();
  int64_t points = 0, lag = 0;
  std::string trouble;
  for (const HostedShardPtr& hosted : host_.List(0)) {
    const HostedStats stats = hosted->Stats();
    points += stats.points;
    lag += stats.head - stats.applied;
    if (const absl::Status status = hosted->TailStatus(); !status.ok() && trouble.empty()) {
      trouble = absl::StrCat("collection \"", hosted->entry().name, "\", shard ", stats.shard,
                             " does not follow its log: ", status.message());
    }
    if (hosted->shard().bad_records() > 0 && trouble.empty()) {
      trouble = absl::StrCat("collection \"", hosted->entry().name, "\", shard ", stats.shard, " passed over ",
                             hosted->shard().bad_records(), " log records");
    }
  }
  if (const std::string broken = host_.Trouble(); trouble.empty()) trouble = broken;
  {
    absl::MutexLock lock(&mutex_);
    process.set_address(address_);
    process.set_health(draining_         ? common::v1::HEALTH_DRAINING
                       : trouble.empty() ? common::v1::HEALTH_SERVING
                                         : common::v1::HEALTH_DEGRADED);
  }
  process.set_service("vector-search");
  process.set_reason(trouble);
  process.set_version(kVersion);
  *process.mutable_started_at() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(started_at_));
  process.set_resident_bytes(static_cast<int64_t>(ResidentBytes()));
  process.set_cpu_seconds(static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
  for (const int32_t shard : host_.shards()) response->add_shards(static_cast<uint32_t>(shard));
  response->set_collections(static_cast<int64_t>(catalog_.Current()->by_id.size()));
  response->set_points(points);
  response->set_lag(lag);
  (*process.mutable_facts())["points"] = absl::StrCat(points);
  (*process.mutable_facts())["lag"] = absl::StrCat(lag);
  return absl::OkStatus();
}

}  // namespace alcove::vector_search
