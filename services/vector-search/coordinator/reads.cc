// Get, scroll and count over all shards.
#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

// What a call that needs every shard says when one of them fails.
absl::Status ShardFailure(const CatalogEntry& entry, int32_t shard, const absl::Status& why) {
  if (absl::IsNotFound(why)) return NotFound("collection", entry.name);
  if (absl::IsInvalidArgument(why) || absl::IsDeadlineExceeded(why) || absl::IsCancelled(why)) return why;
  return absl::UnavailableError(absl::StrCat("shard ", shard, ": ", StatusCodeName(why.code()), ": ", why.message()));
}

template <typename T>
absl::Status FirstFailure(const CatalogEntry& entry, const std::vector<ShardTarget>& targets,
                          const std::vector<absl::StatusOr<T>>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].ok()) return ShardFailure(entry, targets[i].shard, results[i].status());
  }
  return absl::OkStatus();
}

}  // namespace

void Coordinator::Get(const RequestContext& ctx, GetCall call, Done<std::vector<StoredPoint>> done) {
  absl::StatusOr<CatalogEntryPtr> found = Find(ctx, call.collection);
  if (!found.ok()) return done(found.status());
  CatalogEntryPtr entry = *std::move(found);
  absl::Status status = ValidateIds("ids", call.query.ids, 1, kMaxGetIds);
  status.Update(ValidateSelector(call.query.payload));
  if (!status.ok()) return done(status);
  absl::StatusOr<std::vector<ShardTarget>> all = Targets(ctx, entry, call.min_sequence);
  if (!all.ok()) return done(all.status());
  Fetch(ctx, std::move(entry), *all, std::move(call.query), false, std::move(done));
}

void Coordinator::Fetch(const RequestContext& ctx, CatalogEntryPtr entry, const std::vector<ShardTarget>& all,
                        GetQuery query, bool allow_partial, Done<std::vector<StoredPoint>> done) {
  std::vector<GetQuery> queries(all.size(), GetQuery{{}, query.payload, query.with_vectors});
  for (const std::string& id : query.ids) {
    queries[static_cast<size_t>(ShardOf(id, entry->placement.shard_count))].ids.push_back(id);
  }
  std::vector<ShardTarget> targets;
  std::vector<GetQuery> asked;
  for (size_t shard = 0; shard < queries.size(); ++shard) {
    if (queries[shard].ids.empty()) continue;
    targets.push_back(all[shard]);
    asked.push_back(std::move(queries[shard]));
  }
  if (targets.empty()) return done(std::vector<StoredPoint>());
  auto gather = Gather<std::vector<StoredPoint>>::Make(
      targets.size(),
      [entry, targets, allow_partial, ids = std::move(query.ids), done = std::move(done)](auto results) mutable {
        absl::Status failure = FirstFailure(*entry, targets, results);
        if (!failure.ok() && !(allow_partial && absl::IsUnavailable(failure))) return done(failure);
        absl::flat_hash_map<absl::string_view, StoredPoint*> by_id;
        for (auto& result : results) {
          if (!result.ok()) continue;
          for (StoredPoint& point : *result) by_id[point.id] = &point;
        }
        std::vector<StoredPoint> out;
        for (const std::string& id : ids) {
          const auto at = by_id.find(id);
          if (at == by_id.end()) continue;
          StoredPoint* const point = at->second;
          by_id.erase(at);  // an id asked for twice is answered once
          out.push_back(std::move(*point));
        }
        done(std::move(out));
      });
  const RequestContext shard_ctx = ShardContext(ctx);
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto client = ClientOf(targets[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Get(shard_ctx, targets[i], std::move(asked[i]), gather->Slot(i));
    }
  }
}

void Coordinator::Scroll(const RequestContext& ctx, ScrollCall call, Done<ScrollReply> done) {
  absl::StatusOr<CatalogEntryPtr> found = Find(ctx, call.collection);
  if (!found.ok()) return done(found.status());
  CatalogEntryPtr entry = *std::move(found);
  if (call.page_size > kMaxPage) {
    return done(InvalidField("page_size", absl::StrCat("must be 1 to ", kMaxPage, ", not ", call.page_size)));
  }
  const uint32_t page_size = call.page_size == 0 ? 100 : call.page_size;
  auto query = std::make_shared<ScrollQuery>();
  absl::Status status = ValidateSelector(call.payload);
  status.Update(PlanFilter(entry->config, FieldList(entry->config), call.filter).status());
  if (!status.ok()) return done(status);
  if (!call.page_token.empty()) {
    absl::StatusOr<std::string> after = ParsePageToken(call.page_token, entry->id);
    if (!after.ok()) return done(after.status());
    query->after_id = *std::move(after);
  }
  query->limit = page_size + 1;  // one more tells whether there is a next page
  query->filter = std::move(call.filter);
  query->payload = std::move(call.payload);
  query->with_vectors = call.with_vectors;

  absl::StatusOr<std::vector<ShardTarget>> wanted = Targets(ctx, entry, call.min_sequence);
  if (!wanted.ok()) return done(wanted.status());
  const std::vector<ShardTarget> targets = *std::move(wanted);
  auto gather = Gather<std::vector<StoredPoint>>::Make(
      targets.size(), [entry, targets, page_size, done = std::move(done)](auto results) mutable {
        if (absl::Status failure = FirstFailure(*entry, targets, results); !failure.ok()) return done(failure);
        ScrollReply reply;
        for (auto& result : results) {
          for (StoredPoint& point : *result) reply.points.push_back(std::move(point));
        }
        std::sort(reply.points.begin(), reply.points.end(),
                  [](const StoredPoint& a, const StoredPoint& b) { return a.id < b.id; });
        if (reply.points.size() > page_size) {
          reply.points.resize(page_size);
          reply.next_page_token = FormatPageToken(entry->id, reply.points.back().id);
        }
        done(std::move(reply));
      });
  const RequestContext shard_ctx = ShardContext(ctx);
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto client = ClientOf(targets[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Scroll(shard_ctx, targets[i], query, gather->Slot(i));
    }
  }
}

void Coordinator::Count(const RequestContext& ctx, CountCall call, Done<int64_t> done) {
  absl::StatusOr<CatalogEntryPtr> found = Find(ctx, call.collection);
  if (!found.ok()) return done(found.status());
  CatalogEntryPtr entry = *std::move(found);
  if (absl::Status status = PlanFilter(entry->config, FieldList(entry->config), call.filter).status(); !status.ok()) {
    return done(status);
  }
  absl::StatusOr<std::vector<ShardTarget>> wanted = Targets(ctx, entry, call.min_sequence);
  if (!wanted.ok()) return done(wanted.status());
  const std::vector<ShardTarget> targets = *std::move(wanted);
  auto gather = Gather<int64_t>::Make(targets.size(), [entry, targets, done = std::move(done)](auto results) mutable {
    if (absl::Status failure = FirstFailure(*entry, targets, results); !failure.ok()) return done(failure);
    int64_t count = 0;
    for (const auto& result : results) count += *result;
    done(count);
  });
  const auto filter = std::make_shared<const Filter>(std::move(call.filter));
  const RequestContext shard_ctx = ShardContext(ctx);
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto client = ClientOf(targets[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Count(shard_ctx, targets[i], filter, gather->Slot(i));
    }
  }
}

void Coordinator::Facet(const RequestContext& ctx, FacetCall call, Done<FacetReply> done) {
  absl::StatusOr<CatalogEntryPtr> found = Find(ctx, call.collection);
  if (!found.ok()) return done(found.status());
  CatalogEntryPtr entry = *std::move(found);
  if (call.query.limit > kMaxLimit) {
    return done(InvalidField("limit", absl::StrCat("must be 1 to ", kMaxLimit, ", not ", call.query.limit)));
  }
  const uint32_t limit = call.query.limit == 0 ? 10 : call.query.limit;
  const FieldList fields(entry->config);
  absl::Status status = FacetField(fields, call.query.field).status();
  status.Update(PlanFilter(entry->config, fields, call.query.filter).status());
  if (!status.ok()) return done(status);
  absl::StatusOr<std::vector<ShardTarget>> targets = Targets(ctx, entry, call.min_sequence);
  if (!targets.ok()) return done(targets.status());
  auto gather = Gather<ShardFacet>::Make(
      targets->size(), [entry, targets = *targets, limit, done = std::move(done)](auto results) mutable {
        if (absl::Status failure = FirstFailure(*entry, targets, results); !failure.ok()) return done(failure);
        FacetReply reply;
        std::map<std::variant<std::string, int64_t, bool>, uint64_t> sums;
        for (auto& result : results) {
          reply.exact = reply.exact && result->counts.size() == result->total;
          for (ValueCount& count : result->counts) sums[std::move(count.value)] += count.count;
        }
        for (const auto& [value, count] : sums) reply.counts.push_back({value, count});
        reply.distinct = reply.counts.size();
        const size_t keep = std::min<size_t>(limit, reply.counts.size());
        std::partial_sort(reply.counts.begin(), reply.counts.begin() + static_cast<ptrdiff_t>(keep), reply.counts.end(),
                          CountsBefore);
        reply.counts.resize(keep);
        done(std::move(reply));
      });
  const auto query = std::make_shared<const FacetQuery>(std::move(call.query));
  const RequestContext shard_ctx = ShardContext(ctx);
  for (size_t i = 0; i < targets->size(); ++i) {
    const auto client = ClientOf((*targets)[i].shard);
    if (!client.ok()) {
      gather->Slot(i)(client.status());
    } else {
      (*client)->Facet(shard_ctx, (*targets)[i], query, gather->Slot(i));
    }
  }
}

}  // namespace alcove::vector_search
