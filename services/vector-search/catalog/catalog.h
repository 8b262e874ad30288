// This process's copy of the catalogue of collections. Lookups read an immutable snapshot; a thread follows the store's
// version counter and replaces the snapshot when any process changed the catalogue.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/store/collection_store.h"
#include "services/vector-search/collection/schema.h"

namespace alcove::vector_search {

struct CatalogEntry {
  store::CollectionId id = 0;
  std::string tenant;
  std::string name;
  CollectionConfig config;
  store::Placement placement;
  std::optional<store::Placement> next_placement;  // while the collection is being resharded
  // [shard]: what a shard must have applied to hold all that could be found before the placement came into force.
  std::vector<store::Sequence> floors;
  absl::Time created_at;
  absl::Status usable;  // why its settings cannot be read by this build; OK otherwise

  // Tells this collection from one of another database with the same number.
  std::string Identity() const;
};
using CatalogEntryPtr = std::shared_ptr<const CatalogEntry>;

// Reads a row of the store.
CatalogEntry ToEntry(const store::Collection& collection);

struct CatalogSnapshot {
  int64_t version = -1;
  std::map<std::pair<std::string, std::string>, CatalogEntryPtr> by_name;  // (tenant, name or alias)
  absl::flat_hash_map<store::CollectionId, CatalogEntryPtr> by_id;
  std::vector<store::CollectionId> dropping;  // their log is still to be removed
};
using CatalogSnapshotPtr = std::shared_ptr<const CatalogSnapshot>;

// Thread-safe.
class Catalog {
 public:
  // Called after each change, one call at a time, on the thread that noticed it; also once when set.
  using Listener = std::function<void(const CatalogSnapshotPtr&)>;

  // `collections` outlives the catalogue. `clock` null: the real one.
  explicit Catalog(store::CollectionStore* collections, Clock* clock = nullptr);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Looks at the version counter and reads the catalogue again if it moved. Blocking.
  absl::Status Refresh();
  // Sets the one listener; null removes it and waits for a call under way.
  void SetListener(Listener listener);
  // Refreshes every `interval` on a thread of its own until Stop.
  void StartPolling(absl::Duration interval);
  void Stop();

  CatalogSnapshotPtr Current() const;
  // By name or alias. NOT_FOUND names the collection; the entry's own error when its settings cannot be read. Looks at
  // the store before it says NOT_FOUND.
  absl::StatusOr<CatalogEntryPtr> Find(absl::string_view tenant, absl::string_view name);
  absl::StatusOr<CatalogEntryPtr> FindById(store::CollectionId id);

 private:
  absl::Status Reload(int64_t version) ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mutex_);
  void Poll(absl::Duration interval);

  store::CollectionStore* const collections_;
  Clock* const clock_;

  absl::Mutex refresh_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // one reload and one listener call at a time
  Listener listener_ ABSL_GUARDED_BY(refresh_mutex_);
  mutable absl::Mutex mutex_;
  CatalogSnapshotPtr current_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace alcove::vector_search
