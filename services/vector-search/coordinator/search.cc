// Searches: fan-out, merge, and what happens when a shard does not answer.
#include <algorithm>
#include <iterator>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/query_run.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/coordinator/validate_search.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

SearchReply Merge(std::vector<absl::StatusOr<std::vector<FoundPoint>>>& results, uint32_t offset, uint32_t limit) {
  SearchReply reply;
  reply.asked = static_cast<uint32_t>(results.size());
  for (auto& result : results) {
    if (!result.ok()) continue;
    if (++reply.answered == 1) {
      reply.points = *std::move(result);
    } else {
      std::move(result->begin(), result->end(), std::back_inserter(reply.points));
    }
  }
  const size_t keep = std::min<size_t>(reply.points.size(), size_t{offset} + limit);
  if (reply.answered > 1) {  // what one shard found is in order
    std::partial_sort(reply.points.begin(), reply.points.begin() + static_cast<ptrdiff_t>(keep), reply.points.end(),
                      RanksBefore);
  }
  reply.points.resize(keep);
  reply.points.erase(reply.points.begin(),
                     reply.points.begin() + static_cast<ptrdiff_t>(std::min<size_t>(offset, keep)));
  return reply;
}

}  // namespace

void Coordinator::Search(const RequestContext& ctx, SearchCall call, Done<SearchReply> done) {
  absl::StatusOr<CatalogEntryPtr> entry = Find(ctx, call.collection);
  if (!entry.ok()) return done(entry.status());
  if (absl::Status status = PrepareSearch((*entry)->config, call); !status.ok()) return done(status);
  absl::StatusOr<std::vector<ShardTarget>> targets = Targets(ctx, *entry, call.min_sequence);
  if (!targets.ok()) return done(targets.status());
  RunSearch(ctx, *std::move(entry), *std::move(targets), std::move(call), std::move(done));
}

void Coordinator::RunSearch(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
                            SearchCall call, Done<SearchReply> done) {
  if (QueryRun::Needed(call)) {
    return QueryRun::Start(this, ctx, std::move(entry), std::move(targets), std::move(call), std::move(done));
  }
  SearchOne(ctx, std::move(entry), std::move(targets), std::move(call), std::move(done));
}

void Coordinator::SearchOne(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
                            SearchCall call, Done<SearchReply> done) {
  if (!call.id.empty()) {
    return SearchById(ctx, std::move(entry), std::move(targets), std::move(call), std::move(done));
  }
  // One shard's own statistics are those of the whole collection.
  if (targets.size() > 1 && (!call.query.text.empty() || !call.query.sparse.empty())) {
    const SparseField& field = entry->config.sparse.at(call.query.vector_name);
    if (field.is_text() || field.idf) {
      return SearchWithStatistics(ctx, std::move(entry), std::move(targets), std::move(call), std::move(done));
    }
  }
  FanOut(ctx, std::move(entry), std::move(targets), std::move(call), true, std::move(done));
}

void Coordinator::SearchWithStatistics(const RequestContext& ctx, CatalogEntryPtr entry,
                                       std::vector<ShardTarget> targets, SearchCall call, Done<SearchReply> done) {
  auto query = std::make_shared<SearchQuery>();
  query->text = call.query.text;
  query->sparse = call.query.sparse;
  query->vector_name = call.query.vector_name;
  auto gather = Gather<SparseStatistics>::Make(targets.size(), [this, ctx, entry, targets, call = std::move(call),
                                                                done = std::move(done)](auto results) mutable {
    SparseStatistics sum;
    for (size_t i = 0; i < results.size(); ++i) {
      const absl::Status& status = results[i].status();
      if (status.ok()) {
        sum.Add(*results[i]);
        continue;
      }
      if (absl::IsNotFound(status)) return done(NotFound("collection", entry->name));
      if (ConcernsTheCall(status)) return done(status);
      // Without it the others still rank; the search itself tells who did not answer.
      if (call.allow_partial) continue;
      if (absl::Status own = ctx.Check(*clock_); !own.ok()) return done(own);
      if (absl::IsDeadlineExceeded(status)) return done(status);
      return done(absl::UnavailableError(
          absl::StrCat("shard ", targets[i].shard, ": ", StatusCodeName(status.code()), ": ", status.message())));
    }
    call.query.statistics = std::move(sum);
    FanOut(ctx, std::move(entry), std::move(targets), std::move(call), true, std::move(done));
  });
  RequestContext shard_ctx = ShardContext(ctx);
  if (ctx.has_deadline()) shard_ctx = shard_ctx.WithTimeout(ctx.Remaining(*clock_) * 0.4, *clock_);
  for (const size_t i : RemoteFirst(targets)) {
    const auto client = ClientOf(targets[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Statistics(shard_ctx, targets[i], query, gather->Slot(i));
    }
  }
}

std::vector<size_t> Coordinator::RemoteFirst(const std::vector<ShardTarget>& targets) const {
  std::vector<size_t> order(targets.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_partition(order.begin(), order.end(), [&](size_t i) {
    const auto client = ClientOf(targets[i].shard);
    return !client.ok() || !(*client)->InProcess();
  });
  return order;
}

void Coordinator::SearchById(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
                             SearchCall call, Done<SearchReply> done) {
  const int32_t shard = ShardOf(call.id, entry->placement.shard_count);
  const auto client = ClientOf(shard);
  if (!client.ok()) return done(client.status());
  const ShardTarget target = targets[static_cast<size_t>(shard)];
  GetQuery query{{call.id}, {.none = true}, true};
  (*client)->Get(
      ShardContext(ctx), target, std::move(query),
      [this, ctx, entry, targets = std::move(targets), call = std::move(call), shard,
       in_process = (*client)->InProcess(),
       done = std::move(done)](absl::StatusOr<std::vector<StoredPoint>> points) mutable {
        if (!points.ok()) {
          // Without the query there is nothing partial to answer with.
          if (ConcernsTheCall(points.status())) {
            return done(absl::IsNotFound(points.status()) ? NotFound("collection", entry->name) : points.status());
          }
          return done(Annotate(points.status(), absl::StrCat("shard ", shard)));
        }
        if (points->empty()) return done(NotFound("point", call.id));
        for (NamedVector& vector : points->front().vectors) {
          if (vector.name == call.query.vector_name) call.query.vector = std::move(vector.values);
        }
        if (call.query.vector.empty()) {
          return done(absl::FailedPreconditionError(
              absl::StrCat("point \"", call.id, "\" has no vector \"", call.query.vector_name, "\"")));
        }
        call.query.exclude_id = call.id;
        FanOut(ctx, std::move(entry), std::move(targets), std::move(call), true, std::move(done));
      });
}

void Coordinator::FanOut(const RequestContext& ctx, CatalogEntryPtr entry, std::vector<ShardTarget> targets,
                         SearchCall call, bool again, Done<SearchReply> done) {
  const int64_t begin = clock_->MonotonicNanos();
  const uint32_t limit = call.query.limit;
  const uint32_t offset = call.offset;
  auto query = std::make_shared<SearchQuery>(std::move(call.query));
  query->limit = limit + offset;
  const bool allow_partial = call.allow_partial;

  auto gather = Gather<std::vector<FoundPoint>>::Make(
      targets.size(), [this, ctx, entry, targets, limit, offset, begin, allow_partial, again, query,
                       done = std::move(done)](auto results) mutable {
        if (search_seconds_ != nullptr) search_seconds_->Observe(absl::Nanoseconds(clock_->MonotonicNanos() - begin));
        std::vector<std::string> failures;
        bool timed_out = true;
        for (size_t i = 0; i < results.size(); ++i) {
          const absl::Status& status = results[i].status();
          if (status.ok()) continue;
          if (absl::IsNotFound(status)) return done(NotFound("collection", entry->name));
          if (ConcernsTheCall(status)) return done(status);
          if (again && PlacementMovedOn(*entry, status)) {
            auto fresh = catalog_->FindById(entry->id);
            if (!fresh.ok()) return done(NotFound("collection", entry->name));
            std::vector<ShardTarget> targets = AllTargets(**fresh);
            SearchCall call;
            call.query = *query;
            call.query.limit = limit;
            call.offset = offset;
            call.allow_partial = allow_partial;
            return FanOut(ctx, *std::move(fresh), std::move(targets), std::move(call), false, std::move(done));
          }
          timed_out = timed_out && absl::IsDeadlineExceeded(status);
          failures.push_back(
              absl::StrCat("shard ", targets[i].shard, ": ", StatusCodeName(status.code()), ": ", status.message()));
        }
        if (!failures.empty()) {
          if (absl::Status status = ctx.Check(*clock_); !status.ok()) return done(status);
          if (!allow_partial || failures.size() == results.size()) {
            // A sequence nobody has written yet: waiting longer might help, another replica would not.
            if (timed_out) return done(absl::DeadlineExceededError(failures.front()));
            return done(absl::UnavailableError(
                absl::StrCat(failures.size(), " of ", results.size(), " shards did not answer: ", failures.front())));
          }
          if (partial_ != nullptr) partial_->Increment();
        }
        SearchReply reply = Merge(results, offset, limit);
        reply.failures = std::move(failures);
        done(std::move(reply));
      });

  RequestContext shard_ctx = ShardContext(ctx);
  if (allow_partial && ctx.has_deadline()) {
    // Leaves time to answer with what the other shards found.
    shard_ctx = shard_ctx.WithTimeout(ctx.Remaining(*clock_) * 0.8, *clock_);
  }
  // Other processes first: they work while this thread searches its own shards.
  for (const size_t i : RemoteFirst(targets)) {
    const auto client = ClientOf(targets[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Search(shard_ctx, targets[i], query, gather->Slot(i));
    }
  }
}

void Coordinator::SearchBatch(const RequestContext& ctx, std::vector<SearchCall> calls,
                              Done<std::vector<SearchReply>> done) {
  if (calls.empty() || calls.size() > kMaxBatchSearches) {
    return done(InvalidField("searches", absl::StrCat("must be 1 to ", kMaxBatchSearches, ", not ", calls.size())));
  }
  auto gather = Gather<SearchReply>::Make(calls.size(), [done = std::move(done)](auto results) mutable {
    std::vector<SearchReply> replies;
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].ok()) return done(Annotate(results[i].status(), absl::StrCat("searches[", i, "]")));
      replies.push_back(*std::move(results[i]));
    }
    done(std::move(replies));
  });
  for (size_t i = 0; i < calls.size(); ++i) Search(ctx, std::move(calls[i]), gather->Slot(i));
}

}  // namespace alcove::vector_search
