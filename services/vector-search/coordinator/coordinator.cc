// Collections and what all calls share.
#include "services/vector-search/coordinator/coordinator.h"

#include <algorithm>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/blocking_counter.h>

#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

// A process that does not answer keeps nobody waiting for long.
constexpr absl::Duration kSpreadTimeout = absl::Seconds(2);

}  // namespace

std::string TenantOf(const RequestContext& ctx) { return ctx.tenant().empty() ? "default" : ctx.tenant(); }

Coordinator::Coordinator(CoordinatorOptions options, Catalog* catalog, store::Store* store, ClusterMap cluster,
                         std::vector<std::shared_ptr<ShardClient>> peers)
    : options_(options),
      catalog_(catalog),
      store_(store),
      cluster_(std::move(cluster)),
      peers_(std::move(peers)),
      writer_(&store->log()),
      clock_(options.clock == nullptr ? RealClock() : options.clock) {
  if (options_.registry == nullptr) return;
  Registry& registry = *options_.registry;
  append_seconds_ = &registry.AddHistogram("alcove_vector_append_seconds",
                                           "Time until a write was committed in the log.", LatencyBuckets());
  search_seconds_ =
      &registry.AddHistogram("alcove_vector_search_seconds", "Time of a search over all shards.", LatencyBuckets());
  upserted_ = &registry.AddCounter("alcove_vector_upserted_points_total", "Points written to the log.");
  deleted_ = &registry.AddCounter("alcove_vector_deleted_points_total", "Deletes written to the log.");
  partial_ = &registry.AddCounter("alcove_vector_partial_searches_total",
                                  "Searches answered without all shards, as their caller allowed.");
}

absl::StatusOr<CatalogEntryPtr> Coordinator::Find(const RequestContext& ctx, const std::string& collection) {
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(collection));
  return catalog_->Find(TenantOf(ctx), collection);
}

absl::StatusOr<ShardClient*> Coordinator::ClientOf(int32_t shard) const {
  if (shard >= 0 && static_cast<size_t>(shard) < cluster_.size()) return cluster_[static_cast<size_t>(shard)].get();
  return absl::UnavailableError(absl::StrCat("no process of this cluster holds shard ", shard));
}

void Coordinator::GoOn(absl::AnyInvocable<void()> work) const {
  if (options_.pool == nullptr || peers_.empty()) return work();
  options_.pool->Submit(std::move(work));
}

Quota Coordinator::QuotaOf(const std::string& tenant) const {
  auto at = options_.quotas.find(tenant);
  if (at == options_.quotas.end()) at = options_.quotas.find("");
  return at == options_.quotas.end() ? Quota() : at->second;
}

RequestContext Coordinator::ShardContext(const RequestContext& ctx) const {
  return ctx.WithTimeout(options_.shard_timeout, *clock_);
}

absl::StatusOr<CollectionView> Coordinator::CreateCollection(const RequestContext& ctx, const std::string& name,
                                                             const CollectionConfig& config, uint32_t shard_count) {
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(name));
  ALCOVE_RETURN_IF_ERROR(ValidateConfig(config));
  if (shard_count == 0) shard_count = static_cast<uint32_t>(options_.default_shards);
  if (shard_count > cluster_.size()) {
    return InvalidField("shard_count",
                        absl::StrCat("is ", shard_count, ", this cluster has ", cluster_.size(), " shards"));
  }
  absl::StatusOr<store::Collection> made = store_->collections().Create(
      TenantOf(ctx), name, EncodeConfig(config), static_cast<int32_t>(shard_count), QuotaOf(TenantOf(ctx)).collections);
  if (!made.ok()) return made.status();
  SpreadCatalog();
  return CollectionView{.entry = std::make_shared<const CatalogEntry>(ToEntry(*made))};
}

absl::StatusOr<store::Alias> Coordinator::SetAlias(const RequestContext& ctx, const std::string& alias,
                                                   const std::string& collection) {
  ALCOVE_RETURN_IF_ERROR(Annotate(ValidateCollectionName(alias), "alias"));
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(collection));
  ALCOVE_ASSIGN_OR_RETURN(store::Alias set, store_->collections().SetAlias(TenantOf(ctx), alias, collection));
  SpreadCatalog();
  return set;
}

absl::Status Coordinator::DeleteAlias(const RequestContext& ctx, const std::string& alias) {
  ALCOVE_RETURN_IF_ERROR(Annotate(ValidateCollectionName(alias), "alias"));
  ALCOVE_RETURN_IF_ERROR(store_->collections().DeleteAlias(TenantOf(ctx), alias));
  SpreadCatalog();
  return absl::OkStatus();
}

absl::StatusOr<store::AliasPage> Coordinator::ListAliases(const RequestContext& ctx, uint32_t page_size,
                                                          const std::string& page_token) {
  if (page_size > 1000) return InvalidField("page_size", absl::StrCat("must be at most 1000, not ", page_size));
  return store_->collections().ListAliases(TenantOf(ctx),
                                           {.page_size = static_cast<int>(page_size), .page_token = page_token});
}

absl::Status Coordinator::DeleteCollection(const RequestContext& ctx, const std::string& name) {
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(name));
  if (const auto entry = catalog_->Find(TenantOf(ctx), name); entry.ok() && (*entry)->name != name) {
    ALCOVE_RETURN_IF_ERROR(FindByOwnName(ctx, name).status());
  }
  const absl::Status status = store_->collections().Delete(TenantOf(ctx), name).status();
  if (absl::IsNotFound(status)) return NotFound("collection", name);
  ALCOVE_RETURN_IF_ERROR(status);
  SpreadCatalog();
  return absl::OkStatus();
}

void Coordinator::SpreadCatalog() {
  // What cannot be told looks by itself a moment later.
  catalog_->Refresh().IgnoreError();
  if (peers_.empty()) return;
  absl::BlockingCounter answers(static_cast<int>(peers_.size()));
  const RequestContext ctx = RequestContext().WithTimeout(kSpreadTimeout, *clock_);
  for (const auto& peer : peers_) {
    peer->RefreshCatalog(ctx, [&answers](absl::Status) { answers.DecrementCount(); });
  }
  answers.Wait();
}

void Coordinator::Describe(const RequestContext& ctx, CatalogEntryPtr entry, Done<CollectionView> done) {
  std::set<ShardClient*> processes;
  for (int32_t shard = 0; shard < entry->placement.shard_count; ++shard) {
    if (const auto client = ClientOf(shard); client.ok()) processes.insert(*client);
  }
  const store::CollectionId id = entry->id;
  auto gather = Gather<std::vector<HostedStats>>::Make(
      processes.size(), [entry = std::move(entry), done = std::move(done)](auto results) mutable {
        // A shard that cannot be asked is missing from the sums and from the token, which says which ones are in it.
        CollectionView view;
        view.entry = entry;
        // Of replicas the one that has applied most stands for the shard.
        std::map<int32_t, HostedStats> shards;
        for (const auto& result : results) {
          if (!result.ok()) continue;
          for (const HostedStats& stats : *result) {
            if (stats.epoch != entry->placement.epoch) continue;
            HostedStats& known = shards[stats.shard];
            if (stats.applied >= known.applied) known = stats;
          }
        }
        ShardSequences applied;
        for (const auto& [shard, stats] : shards) {
          view.points += stats.points;
          view.memory_bytes += stats.memory_bytes;
          view.disk_bytes += stats.disk_bytes;
          applied.emplace_back(shard, stats.applied);
        }
        view.applied_sequence = FormatSequenceToken(entry->placement.epoch, applied);
        done(std::move(view));
      });
  size_t slot = 0;
  const RequestContext shard_ctx = ShardContext(ctx);
  for (ShardClient* client : processes) client->Stats(shard_ctx, id, gather->Slot(slot++));
}

void Coordinator::GetCollection(const RequestContext& ctx, const std::string& name, Done<CollectionView> done) {
  // Another node may just have removed it. Without the store, what is known here is still the best answer.
  catalog_->Refresh().IgnoreError();
  absl::StatusOr<CatalogEntryPtr> entry = Find(ctx, name);
  if (!entry.ok()) return done(entry.status());
  Describe(ctx, *std::move(entry), std::move(done));
}

void Coordinator::ListCollections(const RequestContext& ctx, uint32_t page_size, const std::string& page_token,
                                  Done<CollectionList> done) {
  if (page_size > 1000) return done(InvalidField("page_size", absl::StrCat("must be at most 1000, not ", page_size)));
  absl::StatusOr<store::CollectionPage> page =
      store_->collections().List(TenantOf(ctx), {.page_size = static_cast<int>(page_size), .page_token = page_token});
  if (!page.ok()) return done(page.status());
  if (page->collections.empty()) return done(CollectionList{{}, page->next_page_token});
  auto gather = Gather<CollectionView>::Make(
      page->collections.size(), [next = page->next_page_token, done = std::move(done)](auto results) mutable {
        CollectionList list;
        for (auto& result : results) {
          if (result.ok()) list.collections.push_back(*std::move(result));
        }
        list.next_page_token = std::move(next);
        done(std::move(list));
      });
  for (size_t i = 0; i < page->collections.size(); ++i) {
    Describe(ctx, std::make_shared<const CatalogEntry>(ToEntry(page->collections[i])), gather->Slot(i));
  }
}

std::vector<ShardTarget> Coordinator::AllTargets(const CatalogEntry& entry) {
  std::vector<ShardTarget> targets;
  for (int32_t shard = 0; shard < entry.placement.shard_count; ++shard) {
    const size_t i = static_cast<size_t>(shard);
    targets.push_back({entry.id, shard, i < entry.floors.size() ? entry.floors[i] : 0, entry.placement.epoch});
  }
  return targets;
}

absl::StatusOr<std::vector<ShardTarget>> Coordinator::Targets(const RequestContext& ctx, CatalogEntryPtr& entry,
                                                              const std::string& min_sequence) {
  if (min_sequence.empty()) return AllTargets(*entry);
  ALCOVE_ASSIGN_OR_RETURN(SequenceToken token, ParseSequenceToken(min_sequence, entry->placement));
  if (token.epoch > entry->placement.epoch) {
    ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
    ALCOVE_ASSIGN_OR_RETURN(entry, catalog_->FindById(entry->id));
    ALCOVE_ASSIGN_OR_RETURN(token, ParseSequenceToken(min_sequence, entry->placement));
    if (token.epoch > entry->placement.epoch) {
      return InvalidField("min_sequence", absl::StrCat("is of placement ", token.epoch, ", the collection is at ",
                                                       entry->placement.epoch));
    }
  }
  std::vector<ShardTarget> targets = AllTargets(*entry);
  // What was written before a resharding is below the floors.
  if (token.epoch < entry->placement.epoch) return targets;
  for (const auto& [shard, sequence] : token.sequences) {
    store::Sequence& wanted = targets[static_cast<size_t>(shard)].min_sequence;
    wanted = std::max(wanted, sequence);
  }
  return targets;
}

bool Coordinator::PlacementMovedOn(const CatalogEntry& entry, const absl::Status& why) {
  if (!absl::IsFailedPrecondition(why) || !catalog_->Refresh().ok()) return false;
  const absl::StatusOr<CatalogEntryPtr> fresh = catalog_->FindById(entry.id);
  return fresh.ok() && (*fresh)->placement.epoch != entry.placement.epoch;
}

}  // namespace alcove::vector_search
