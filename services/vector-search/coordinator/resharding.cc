// Resharding: how it begins, how far it is, and when the new shards take over.
#include <algorithm>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/coordinator/await.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

// What one transaction copies: writers of the same shard wait for as long.
constexpr int64_t kCopyBytes = 1 << 20;
constexpr int64_t kLastBytes = 8 << 20;
// The new shards take over when they have no more than this to apply: whoever searches first waits for it.
constexpr store::Sequence kNearlyThere = 2'000;
constexpr absl::Duration kStatsTimeout = absl::Seconds(2);

int32_t Place(absl::string_view key, int32_t shard_count) { return ShardOf(key, shard_count); }

}  // namespace

absl::StatusOr<CatalogEntryPtr> Coordinator::FindByOwnName(const RequestContext& ctx, const std::string& name) {
  ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr entry, Find(ctx, name));
  if (entry->name == name) return entry;
  return absl::FailedPreconditionError(
      absl::StrCat("\"", name, "\" is an alias of collection \"", entry->name, "\": name the collection itself"));
}

std::vector<store::Sequence> Coordinator::AppliedOfNext(const CatalogEntry& entry) {
  std::vector<store::Sequence> applied(static_cast<size_t>(entry.next_placement->shard_count), -1);
  std::set<ShardClient*> clients;
  for (size_t shard = 0; shard < applied.size(); ++shard) {
    if (const auto client = ClientOf(static_cast<int32_t>(shard)); client.ok()) clients.insert(*client);
  }
  for (const auto& peer : peers_) clients.insert(peer.get());
  const RequestContext ctx = RequestContext().WithTimeout(kStatsTimeout, *clock_);
  for (ShardClient* client : clients) {
    const auto stats = Await<std::vector<HostedStats>>(
        [&](Done<std::vector<HostedStats>> done) { client->Stats(ctx, entry.id, std::move(done)); });
    if (!stats.ok()) continue;
    for (const HostedStats& one : *stats) {
      if (one.epoch != entry.next_placement->epoch || one.shard < 0) continue;
      const size_t at = static_cast<size_t>(one.shard);
      if (at >= applied.size()) continue;
      applied[at] = applied[at] < 0 ? one.applied : std::min(applied[at], one.applied);
    }
  }
  return applied;
}

absl::StatusOr<ReshardingView> Coordinator::ViewResharding(CatalogEntryPtr entry) {
  ReshardingView view;
  view.active = entry->next_placement.has_value();
  if (view.active) {
    const absl::StatusOr<store::ReshardProgress> progress = store_->log().GetReshardProgress(entry->id);
    if (absl::IsFailedPrecondition(progress.status())) {
      // It has ended since the catalogue was read.
      ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
      ALCOVE_ASSIGN_OR_RETURN(view.entry, catalog_->FindById(entry->id));
      view.active = view.entry->next_placement.has_value();
      return view;
    }
    ALCOVE_RETURN_IF_ERROR(progress.status());
    view.progress = *progress;
    for (const store::Sequence applied : AppliedOfNext(*entry)) view.applied += std::max<store::Sequence>(applied, 0);
  }
  view.entry = std::move(entry);
  return view;
}

absl::StatusOr<ReshardingView> Coordinator::StartResharding(const RequestContext& ctx, const std::string& name,
                                                            uint32_t shard_count) {
  ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, FindByOwnName(ctx, name));
  if (shard_count == 0 || shard_count > cluster_.size()) {
    return InvalidField("shard_count",
                        absl::StrCat("is ", shard_count, ", this cluster has ", cluster_.size(), " shards"));
  }
  if (shard_count == static_cast<uint32_t>(entry->placement.shard_count)) {
    return InvalidField("shard_count", absl::StrCat("collection \"", name, "\" has ", shard_count, " shards already"));
  }
  ALCOVE_RETURN_IF_ERROR(store_->collections().BeginResharding(entry->id, static_cast<int32_t>(shard_count)).status());
  LogInfo("resharding begins", {{"collection", name}, {"from", entry->placement.shard_count}, {"to", shard_count}});
  SpreadCatalog();
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr begun, catalog_->FindById(entry->id));
  return ViewResharding(std::move(begun));
}

absl::StatusOr<ReshardingView> Coordinator::GetResharding(const RequestContext& ctx, const std::string& name) {
  ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
  ALCOVE_ASSIGN_OR_RETURN(CatalogEntryPtr entry, Find(ctx, name));
  return ViewResharding(std::move(entry));
}

absl::Status Coordinator::CancelResharding(const RequestContext& ctx, const std::string& name) {
  ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, FindByOwnName(ctx, name));
  ALCOVE_RETURN_IF_ERROR(store_->collections().AbortResharding(entry->id).status());
  LogInfo("resharding given up", {{"collection", name}});
  SpreadCatalog();
  return absl::OkStatus();
}

absl::StatusOr<bool> Coordinator::ContinueResharding(store::CollectionId collection) {
  ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, catalog_->FindById(collection));
  if (!entry->next_placement) return true;
  ALCOVE_ASSIGN_OR_RETURN(store::ReshardProgress progress,
                          store_->log().CopyForResharding(collection, kCopyBytes, Place));
  if (progress.head - progress.copied > kNearlyThere) return false;

  const std::vector<store::Sequence> applied = AppliedOfNext(*entry);
  for (size_t shard = 0; shard < applied.size(); ++shard) {
    ALCOVE_ASSIGN_OR_RETURN(const store::ShardHead head, store_->log().Head({collection, entry->next_placement->epoch,
                                                                             static_cast<int32_t>(shard)}));
    if (applied[shard] < 0 || head.head_sequence - applied[shard] > kNearlyThere) return false;
  }
  ALCOVE_ASSIGN_OR_RETURN(progress, store_->log().CommitResharding(collection, kLastBytes, Place));
  if (!progress.committed) return false;
  LogInfo("resharding done: the new shards have taken over",
          {{"collection", entry->name}, {"shards", entry->next_placement->shard_count}, {"records", progress.copied}});
  SpreadCatalog();
  return true;
}

}  // namespace alcove::vector_search
