#include "services/vector-search/catalog/catalog.h"

#include <absl/strings/str_cat.h>

#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::vector_search {

std::string CatalogEntry::Identity() const {
  return absl::StrCat(tenant, "/", name, "@", absl::ToUnixMicros(created_at));
}

CatalogEntry ToEntry(const store::Collection& collection) {
  CatalogEntry entry;
  entry.id = collection.id;
  entry.tenant = collection.tenant;
  entry.name = collection.name;
  entry.placement = collection.placement;
  entry.next_placement = collection.next_placement;
  entry.floors = collection.floors;
  entry.created_at = collection.created_at;
  auto config = DecodeConfig(collection.config);
  if (config.ok()) {
    entry.config = *std::move(config);
  } else {
    entry.usable = Annotate(config.status(), absl::StrCat("collection \"", collection.name, "\""));
  }
  return entry;
}

Catalog::Catalog(store::CollectionStore* collections, Clock* clock)
    : collections_(collections),
      clock_(clock == nullptr ? RealClock() : clock),
      current_(std::make_shared<CatalogSnapshot>()) {}

Catalog::~Catalog() { Stop(); }

CatalogSnapshotPtr Catalog::Current() const {
  absl::ReaderMutexLock lock(&mutex_);
  return current_;
}

absl::Status Catalog::Refresh() {
  absl::MutexLock lock(&refresh_mutex_);
  ALCOVE_ASSIGN_OR_RETURN(const int64_t version, collections_->CatalogVersion());
  if (version == Current()->version) return absl::OkStatus();
  return Reload(version);
}

absl::Status Catalog::Reload(int64_t version) {
  auto fresh = std::make_shared<CatalogSnapshot>();
  // Read before the rows: rows that change meanwhile move the counter on and are read again at the next look.
  fresh->version = version;
  store::PageRequest page{.page_size = 1000};
  do {
    ALCOVE_ASSIGN_OR_RETURN(store::CollectionPage rows, collections_->ListAll(page));
    for (const store::Collection& row : rows.collections) {
      if (row.state == store::CollectionState::kDropping) {
        fresh->dropping.push_back(row.id);
        continue;
      }
      auto entry = std::make_shared<const CatalogEntry>(ToEntry(row));
      if (!entry->usable.ok()) LogError("a collection cannot be used", {{"id", row.id}, {"why", entry->usable}});
      fresh->by_name[{row.tenant, row.name}] = entry;
      fresh->by_id[row.id] = std::move(entry);
    }
    page.page_token = rows.next_page_token;
  } while (!page.page_token.empty());
  ALCOVE_ASSIGN_OR_RETURN(const auto aliases, collections_->AllAliases());
  for (const auto& [tenant, alias] : aliases) {
    // A collection that went between the two reads: the counter has moved on, too.
    const auto at = fresh->by_id.find(alias.collection_id);
    if (at != fresh->by_id.end()) fresh->by_name.emplace(std::pair(tenant, alias.name), at->second);
  }
  CatalogSnapshotPtr published = std::move(fresh);
  {
    absl::MutexLock lock(&mutex_);
    current_ = published;
  }
  if (listener_) listener_(published);
  return absl::OkStatus();
}

void Catalog::SetListener(Listener listener) {
  absl::MutexLock lock(&refresh_mutex_);
  listener_ = std::move(listener);
  if (listener_) listener_(Current());
}

void Catalog::StartPolling(absl::Duration interval) {
  thread_ = std::thread([this, interval] { Poll(interval); });
}

void Catalog::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Catalog::Poll(absl::Duration interval) {
  LogLimiter limiter(absl::Seconds(30));
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), interval)) return;
    }
    if (const absl::Status status = Refresh(); !status.ok()) {
      if (limiter.Allow()) LogWarning("cannot read the catalogue; serving what is known", {{"error", status}});
    }
  }
}

absl::StatusOr<CatalogEntryPtr> Catalog::Find(absl::string_view tenant, absl::string_view name) {
  const std::pair<std::string, std::string> key(tenant, name);
  for (int attempt = 0;; ++attempt) {
    const CatalogSnapshotPtr snapshot = Current();
    if (const auto at = snapshot->by_name.find(key); at != snapshot->by_name.end()) {
      if (!at->second->usable.ok()) return at->second->usable;
      return at->second;
    }
    if (attempt == 1) return NotFound("collection", name);
    ALCOVE_RETURN_IF_ERROR(Refresh());
  }
}

absl::StatusOr<CatalogEntryPtr> Catalog::FindById(store::CollectionId id) {
  for (int attempt = 0;; ++attempt) {
    const CatalogSnapshotPtr snapshot = Current();
    if (const auto at = snapshot->by_id.find(id); at != snapshot->by_id.end()) {
      if (!at->second->usable.ok()) return at->second->usable;
      return at->second;
    }
    if (attempt == 1) return NotFound("collection", absl::StrCat("#", id));
    ALCOVE_RETURN_IF_ERROR(Refresh());
  }
}

}  // namespace alcove::vector_search
