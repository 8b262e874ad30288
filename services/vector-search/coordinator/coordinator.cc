// Collections and what all calls share.
#include "services/vector-search/coordinator/coordinator.h"

#include <algorithm>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::vector_search {

std::string TenantOf(const RequestContext& ctx) { return ctx.tenant().empty() ? "default" : ctx.tenant(); }

Coordinator::Coordinator(CoordinatorOptions options, Catalog* catalog, store::Store* store, ClusterMap cluster)
    : options_(options),
      catalog_(catalog),
      store_(store),
      cluster_(std::move(cluster)),
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
  absl::StatusOr<store::Collection> made =
      store_->collections().Create(TenantOf(ctx), name, EncodeConfig(config), static_cast<int32_t>(shard_count));
  if (absl::IsAlreadyExists(made.status())) return AlreadyExists("collection", name);
  if (!made.ok()) return made.status();
  // The collection exists, whatever this look brings; the poll will find it.
  (void)catalog_->Refresh();
  // Other processes open their shards now instead of at their next look.
  auto entry = std::make_shared<const CatalogEntry>(ToEntry(*made));
  std::set<ShardClient*> told;
  for (uint32_t shard = 0; shard < shard_count; ++shard) {
    ShardClient* client = cluster_[shard].get();
    if (!told.insert(client).second) continue;
    client->Notify(RequestContext().WithTimeout(options_.shard_timeout, *clock_),
                   {{made->id, static_cast<int32_t>(shard), 0}}, false, [](absl::Status) {});
  }
  return CollectionView{entry, 0, 0, ""};
}

absl::Status Coordinator::DeleteCollection(const RequestContext& ctx, const std::string& name) {
  ALCOVE_RETURN_IF_ERROR(ValidateCollectionName(name));
  const absl::Status status = store_->collections().Delete(TenantOf(ctx), name).status();
  if (absl::IsNotFound(status)) return NotFound("collection", name);
  ALCOVE_RETURN_IF_ERROR(status);
  (void)catalog_->Refresh();
  return absl::OkStatus();
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
        CollectionView view{entry, 0, 0, ""};
        std::map<int32_t, store::Sequence> applied;
        for (const auto& result : results) {
          if (!result.ok()) continue;
          for (const HostedStats& stats : *result) {
            view.points += stats.points;
            view.memory_bytes += stats.memory_bytes;
            applied[stats.shard] = stats.applied;
          }
        }
        view.applied_sequence = FormatSequenceToken({applied.begin(), applied.end()});
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

absl::StatusOr<std::vector<ShardTarget>> Coordinator::Targets(const CatalogEntry& entry,
                                                              const std::string& min_sequence) const {
  std::vector<ShardTarget> targets;
  for (int32_t shard = 0; shard < entry.placement.shard_count; ++shard) targets.push_back({entry.id, shard, 0});
  ALCOVE_ASSIGN_OR_RETURN(const ShardSequences wanted, ParseSequenceToken(min_sequence, entry.placement.shard_count));
  for (const auto& [shard, sequence] : wanted) targets[static_cast<size_t>(shard)].min_sequence = sequence;
  return targets;
}

}  // namespace alcove::vector_search
