#pragma once

// Catalog of collections: which exist, how they are configured and into how many shards they are cut.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/store/types.h"

namespace alcove::store {

class Database;

struct Placement {
  int32_t shard_count = 1;  // 1..4096
  int64_t epoch = 1;        // grows with each resharding

  friend bool operator==(const Placement&, const Placement&) = default;
};

enum class CollectionState {
  kActive = 1,
  kDropping = 2,   // deleted by its owner; the log rows are still being removed and the name is free again
  kRestoring = 3,  // being filled from a backup; nobody but BackupStore sees it
};

struct Collection {
  CollectionId id = 0;
  std::string tenant;
  std::string name;
  std::string config;           // opaque to the store
  int64_t config_revision = 0;  // 1 at creation, one more with each UpdateConfig
  Placement placement;
  // While a resharding fills the next epoch's shards: that placement. Its logs exist; only LogStore's copy writes them.
  std::optional<Placement> next_placement;
  // [shard]: what a resharding had copied when this placement came into force. A shard below it does not hold all that
  // could be found before. Empty when the collection was never resharded.
  std::vector<Sequence> floors;
  CollectionState state = CollectionState::kActive;
  absl::Time created_at;
};

// Another name of a collection.
struct Alias {
  std::string name;
  CollectionId collection_id = 0;
  std::string collection;  // its name

  friend bool operator==(const Alias&, const Alias&) = default;
};

struct AliasPage {
  std::vector<Alias> aliases;
  std::string next_page_token;
};

struct CollectionPage {
  std::vector<Collection> collections;
  std::string next_page_token;
};

// Thread-safe. Names and tenants are 1..255 bytes of UTF-8 without control characters, else INVALID_ARGUMENT.
class CollectionStore {
 public:
  explicit CollectionStore(Database* db) : db_(db) {}
  CollectionStore(const CollectionStore&) = delete;
  CollectionStore& operator=(const CollectionStore&) = delete;

  // Creates the collection and its empty shard logs. ALREADY_EXISTS when the tenant has one, or an alias, of that name.
  // RESOURCE_EXHAUSTED when it has `max_collections` already (0: no limit).
  absl::StatusOr<Collection> Create(absl::string_view tenant, absl::string_view name, absl::string_view config,
                                    int32_t shard_count, int64_t max_collections = 0);

  // NOT_FOUND names tenant and collection.
  absl::StatusOr<Collection> Get(absl::string_view tenant, absl::string_view name);
  absl::StatusOr<Collection> GetById(CollectionId id);

  // Active collections ordered by name.
  absl::StatusOr<CollectionPage> List(absl::string_view tenant, const PageRequest& page = {});
  // Collections of every tenant ordered by id, those being dropped included: what a shard process must know.
  absl::StatusOr<CollectionPage> ListAll(const PageRequest& page = {});

  // Replaces the configuration. With `expected_revision`, ABORTED when somebody else changed it in between.
  absl::StatusOr<Collection> UpdateConfig(absl::string_view tenant, absl::string_view name, absl::string_view config,
                                          std::optional<int64_t> expected_revision = std::nullopt);

  // Frees the name at once, refuses further appends, and leaves the collection as kDropping for
  // LogStore::DropCollection to remove its log. FAILED_PRECONDITION names an alias that still leads to it.
  absl::StatusOr<Collection> Delete(absl::string_view tenant, absl::string_view name);

  // Resharding, step 1: creates the empty logs of a new epoch. FAILED_PRECONDITION when one is already under
  // way, or the collection has that many shards.
  absl::StatusOr<Collection> BeginResharding(CollectionId id, int32_t shard_count);
  // Step 2 is LogStore::CopyForResharding, step 3 LogStore::CommitResharding.
  // Or: forget the next placement; LogStore::DropEpoch removes what its logs held.
  absl::StatusOr<Collection> AbortResharding(CollectionId id);

  // Makes `alias` lead to the collection, in one step whether it led elsewhere before or not. NOT_FOUND: no such
  // collection. ALREADY_EXISTS: a collection has that name.
  absl::StatusOr<Alias> SetAlias(absl::string_view tenant, absl::string_view alias, absl::string_view collection);
  // NOT_FOUND when there is none.
  absl::Status DeleteAlias(absl::string_view tenant, absl::string_view alias);
  // Ordered by name.
  absl::StatusOr<AliasPage> ListAliases(absl::string_view tenant, const PageRequest& page = {});
  // Every tenant's, as (tenant, alias).
  absl::StatusOr<std::vector<std::pair<std::string, Alias>>> AllAliases();

  // A number that grows with every change of the catalog by any process. One indexed read: cheap enough to poll.
  absl::StatusOr<int64_t> CatalogVersion();

 private:
  Database* const db_;
};

}  // namespace alcove::store
