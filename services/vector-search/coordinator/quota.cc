// Quotas of tenants: what a write is held to before it is appended.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/vector-search/coordinator/await.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

int64_t BytesOf(absl::Span<const StoredPoint> points) {
  int64_t bytes = 0;
  for (const StoredPoint& point : points) {
    bytes += static_cast<int64_t>(point.id.size() + point.payload.size());
    for (const NamedVector& vector : point.vectors) {
      bytes += static_cast<int64_t>(vector.values.size() * sizeof(float));
    }
    for (const NamedSparse& vector : point.sparse) {
      bytes += static_cast<int64_t>(vector.components.values.size() * (sizeof(float) + sizeof(uint32_t)));
    }
  }
  return bytes;
}

}  // namespace

absl::StatusOr<Usage> Coordinator::MeasureUsage(const std::string& tenant) {
  const RequestContext ctx = RequestContext().WithTimeout(options_.shard_timeout, *clock_);
  Usage usage;
  const CatalogSnapshotPtr snapshot = catalog_->Current();
  for (const auto& item : snapshot->by_id) {
    const CatalogEntryPtr& entry = item.second;
    if (entry->tenant != tenant) continue;
    ALCOVE_ASSIGN_OR_RETURN(const CollectionView view, Await<CollectionView>([&](Done<CollectionView> done) {
                              Describe(ctx, entry, std::move(done));
                            }));
    usage.points += view.points;
    usage.bytes += view.memory_bytes;
  }
  return usage;
}

absl::StatusOr<int64_t> Coordinator::CountNew(const RequestContext& ctx, const CatalogEntry& entry,
                                              absl::Span<const StoredPoint> points) {
  const std::vector<ShardTarget> targets = AllTargets(entry);
  std::vector<std::set<std::string>> ids(targets.size());
  int64_t fresh = 0;
  for (const StoredPoint& point : points) {
    fresh += ids[static_cast<size_t>(ShardOf(point.id, entry.placement.shard_count))].insert(point.id).second ? 1 : 0;
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (ids[i].empty()) continue;
    ALCOVE_ASSIGN_OR_RETURN(ShardClient* const client, ClientOf(targets[i].shard));
    ALCOVE_ASSIGN_OR_RETURN(const std::vector<StoredPoint> known,
                            Await<std::vector<StoredPoint>>([&](Done<std::vector<StoredPoint>> done) {
                              client->Get(ShardContext(ctx), targets[i],
                                          {{ids[i].begin(), ids[i].end()}, {.none = true}, false}, std::move(done));
                            }));
    fresh -= static_cast<int64_t>(known.size());
  }
  return fresh;
}

absl::Status Coordinator::CheckQuota(const RequestContext& ctx, const CatalogEntry& entry,
                                     absl::Span<const StoredPoint> points) {
  const Quota quota = QuotaOf(entry.tenant);
  if (quota.points == 0 && quota.bytes == 0) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(const Usage usage,
                          usage_.Current(entry.tenant, clock_->Now(), [&] { return MeasureUsage(entry.tenant); }));
  Usage more{static_cast<int64_t>(points.size()), BytesOf(points)};
  if ((quota.points > 0 && usage.points + more.points > quota.points) ||
      (quota.bytes > 0 && usage.bytes + more.bytes > quota.bytes)) {
    // Close to the limit it matters which of the points are new: replacing takes nothing.
    ALCOVE_ASSIGN_OR_RETURN(const int64_t fresh, CountNew(ctx, entry, points));
    more.bytes = points.empty() ? 0 : more.bytes * fresh / static_cast<int64_t>(points.size());
    more.points = fresh;
    if (fresh > 0 && quota.points > 0 && usage.points + fresh > quota.points) {
      return absl::ResourceExhaustedError(absl::StrCat("tenant \"", entry.tenant, "\" has ", usage.points,
                                                       " points and its quota is ", quota.points, ": ", fresh,
                                                       " more do not fit"));
    }
    if (fresh > 0 && quota.bytes > 0 && usage.bytes + more.bytes > quota.bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("tenant \"", entry.tenant, "\" takes ", FormatBytes(usage.bytes),
                                                       " and its quota is ", FormatBytes(quota.bytes), ": ",
                                                       FormatBytes(more.bytes), " more do not fit"));
    }
  }
  usage_.Add(entry.tenant, more);
  return absl::OkStatus();
}

absl::Status Coordinator::CheckRoom(const std::string& tenant, int64_t collections, int64_t points) {
  const Quota quota = QuotaOf(tenant);
  if (quota.collections > 0) {
    const CatalogSnapshotPtr snapshot = catalog_->Current();
    const auto there = std::count_if(snapshot->by_id.begin(), snapshot->by_id.end(),
                                     [&](const auto& item) { return item.second->tenant == tenant; });
    if (there + collections > quota.collections) {
      return absl::ResourceExhaustedError(absl::StrCat("tenant \"", tenant, "\" has ", there,
                                                       " collections and its quota is ", quota.collections, ": ",
                                                       collections, " more do not fit"));
    }
  }
  if (quota.points == 0) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(const Usage usage,
                          usage_.Current(tenant, clock_->Now(), [&] { return MeasureUsage(tenant); }));
  if (usage.points + points <= quota.points) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("tenant \"", tenant, "\" has ", usage.points,
                                                   " points and its quota is ", quota.points, ": up to ", points,
                                                   " more do not fit"));
}

}  // namespace alcove::vector_search
