#include "libs/store/collection_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/common/status.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/text.h"

namespace alcove::store {
namespace {

using internal::FromMicros;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

constexpr int32_t kMaxShards = 4096;
constexpr size_t kMaxConfigBytes = 16 << 20;

#define ALCOVE_COLLECTION_COLUMNS                                                                                    \
  "id, tenant, name, config, config_revision, shard_count, epoch, next_shard_count, next_epoch, state, created_at, " \
  "floors"

// "17,4": what LogStore::CommitResharding writes.
std::vector<Sequence> ParseFloors(absl::string_view text) {
  std::vector<Sequence> floors;
  if (text.empty()) return floors;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    Sequence floor = 0;
    // A damaged row only costs the wait until a new shard has caught up.
    if (!absl::SimpleAtoi(part, &floor)) return {};
    floors.push_back(floor);
  }
  return floors;
}

Collection FromRow(const Row& row) {
  Collection c;
  c.id = row.Int(0);
  c.tenant = row.Text(1);
  c.name = row.Text(2);
  c.config = row.Blob(3);
  c.config_revision = row.Int(4);
  c.placement = {static_cast<int32_t>(row.Int(5)), row.Int(6)};
  if (row.Int(7) > 0) c.next_placement = Placement{static_cast<int32_t>(row.Int(7)), row.Int(8)};
  c.state = static_cast<CollectionState>(row.Int(9));
  c.created_at = FromMicros(row.Int(10));
  c.floors = ParseFloors(row.Text(11));
  return c;
}

absl::Status CheckShardCount(int32_t shard_count) {
  if (shard_count >= 1 && shard_count <= kMaxShards) return absl::OkStatus();
  return InvalidField("shard_count", absl::StrCat("is ", shard_count, "; it must be 1 to ", kMaxShards));
}

absl::Status CheckConfig(absl::string_view config) {
  if (config.size() <= kMaxConfigBytes) return absl::OkStatus();
  return InvalidField("config", absl::StrCat("has ", config.size(), " bytes; at most ", kMaxConfigBytes));
}

absl::Status BumpCatalog(Connection& c) {
  return c.Execute("UPDATE counters SET value = value + 1 WHERE name = 'catalog'", {}).status();
}

absl::Status CreateStreams(Connection& c, CollectionId id, const Placement& placement) {
  for (int32_t shard = 0; shard < placement.shard_count; ++shard) {
    ALCOVE_RETURN_IF_ERROR(c.Execute("INSERT INTO log_streams (collection_id, epoch, shard, head_sequence, "
                                     "base_sequence, tombstone_floor) VALUES ($1, $2, $3, 0, 0, 0)",
                                     {Int(id), Int(placement.epoch), Int(shard)})
                               .status());
  }
  return absl::OkStatus();
}

// The collection under its row lock.
absl::StatusOr<Collection> LockById(Connection& c, CollectionId id) {
  std::optional<Collection> found;
  ALCOVE_RETURN_IF_ERROR(c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS
                                 " FROM collections WHERE id = $1 AND state = 1 {FOR UPDATE}",
                                 {Int(id)}, [&](const Row& row) {
                                   found = FromRow(row);
                                   return absl::OkStatus();
                                 }));
  if (!found) return NotFound("collection", absl::StrCat("#", id));
  return *std::move(found);
}

absl::StatusOr<Collection> LockByName(Connection& c, absl::string_view tenant, absl::string_view name) {
  std::optional<Collection> found;
  ALCOVE_RETURN_IF_ERROR(c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS
                                 " FROM collections WHERE tenant = $1 AND name = $2 AND state = 1 {FOR UPDATE}",
                                 {Text(tenant), Text(name)}, [&](const Row& row) {
                                   found = FromRow(row);
                                   return absl::OkStatus();
                                 }));
  if (!found) return NotFound("collection", name);
  return *std::move(found);
}

absl::StatusOr<bool> AliasExists(Connection& c, absl::string_view tenant, absl::string_view name) {
  bool found = false;
  ALCOVE_RETURN_IF_ERROR(c.Query("SELECT 1 FROM collection_aliases WHERE tenant = $1 AND name = $2",
                                 {Text(tenant), Text(name)}, [&](const Row&) {
                                   found = true;
                                   return absl::OkStatus();
                                 }));
  return found;
}

CollectionPage MakePage(std::vector<Collection> rows, int64_t size, absl::string_view listing,
                        std::string (*key)(const Collection&)) {
  CollectionPage page;
  // One row more than asked for was read: its presence is what says there is another page.
  if (static_cast<int64_t>(rows.size()) > size) {
    rows.resize(size);
    page.next_page_token = internal::MakePageToken(listing, key(rows.back()));
  }
  page.collections = std::move(rows);
  return page;
}

}  // namespace

absl::StatusOr<Collection> CollectionStore::Create(absl::string_view tenant, absl::string_view name,
                                                   absl::string_view config, int32_t shard_count,
                                                   int64_t max_collections) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", name));
  ALCOVE_RETURN_IF_ERROR(CheckConfig(config));
  ALCOVE_RETURN_IF_ERROR(CheckShardCount(shard_count));
  std::optional<Collection> created;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    created.reset();
    // First, so that names and counts are looked at by one creator at a time.
    ALCOVE_RETURN_IF_ERROR(BumpCatalog(c));
    if (max_collections > 0) {
      int64_t count = 0;
      ALCOVE_RETURN_IF_ERROR(c.Query("SELECT COUNT(*) FROM collections WHERE tenant = $1 AND state = 1", {Text(tenant)},
                                     [&](const Row& row) {
                                       count = row.Int(0);
                                       return absl::OkStatus();
                                     }));
      if (count >= max_collections) {
        return absl::ResourceExhaustedError(
            absl::StrCat("tenant \"", tenant, "\" has ", count, " collections, its quota is ", max_collections));
      }
    }
    ALCOVE_ASSIGN_OR_RETURN(const bool taken, AliasExists(c, tenant, name));
    if (taken) return AlreadyExists("alias", name);
    ALCOVE_RETURN_IF_ERROR(
        c.Query("INSERT INTO collections (tenant, name, config, config_revision, shard_count, epoch, "
                "next_shard_count, next_epoch, state, created_at) VALUES ($1, $2, $3, 1, $4, 1, 0, 0, 1, $5) "
                "ON CONFLICT (tenant, name) WHERE state = 1 DO NOTHING RETURNING " ALCOVE_COLLECTION_COLUMNS,
                {Text(tenant), Text(name), Blob(config), Int(shard_count), Int(db_->NowMicros())}, [&](const Row& row) {
                  created = FromRow(row);
                  return absl::OkStatus();
                }));
    if (!created) return AlreadyExists("collection", name);
    return CreateStreams(c, created->id, created->placement);
  }));
  return *std::move(created);
}

absl::StatusOr<Collection> CollectionStore::Get(absl::string_view tenant, absl::string_view name) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", name));
  std::optional<Collection> found;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    found.reset();
    return c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS
                   " FROM collections WHERE tenant = $1 AND name = $2 AND state = 1",
                   {Text(tenant), Text(name)}, [&](const Row& row) {
                     found = FromRow(row);
                     return absl::OkStatus();
                   });
  }));
  if (!found) return Annotate(NotFound("collection", name), absl::StrCat("tenant \"", tenant, "\""));
  return *std::move(found);
}

absl::StatusOr<Collection> CollectionStore::GetById(CollectionId id) {
  std::optional<Collection> found;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    found.reset();
    return c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS " FROM collections WHERE id = $1", {Int(id)},
                   [&](const Row& row) {
                     found = FromRow(row);
                     return absl::OkStatus();
                   });
  }));
  if (!found) return NotFound("collection", absl::StrCat("#", id));
  return *std::move(found);
}

absl::StatusOr<CollectionPage> CollectionStore::List(absl::string_view tenant, const PageRequest& page) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const std::string after, internal::ReadPageToken("collections", page.page_token));
  std::vector<Collection> rows;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    rows.clear();
    return c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS
                   " FROM collections WHERE tenant = $1 AND name > $2 AND state = 1 ORDER BY name LIMIT $3",
                   {Text(tenant), Text(after), Int(size + 1)}, [&](const Row& row) {
                     rows.push_back(FromRow(row));
                     return absl::OkStatus();
                   });
  }));
  return MakePage(std::move(rows), size, "collections", [](const Collection& c) { return c.name; });
}

absl::StatusOr<CollectionPage> CollectionStore::ListAll(const PageRequest& page) {
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t after, internal::ReadPageNumber("all-collections", page.page_token, 0));
  std::vector<Collection> rows;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    rows.clear();
    return c.Query("SELECT " ALCOVE_COLLECTION_COLUMNS
                   " FROM collections WHERE id > $1 AND state <> 3 ORDER BY id LIMIT $2",
                   {Int(after), Int(size + 1)}, [&](const Row& row) {
                     rows.push_back(FromRow(row));
                     return absl::OkStatus();
                   });
  }));
  return MakePage(std::move(rows), size, "all-collections", [](const Collection& c) { return absl::StrCat(c.id); });
}

absl::StatusOr<Collection> CollectionStore::UpdateConfig(absl::string_view tenant, absl::string_view name,
                                                         absl::string_view config,
                                                         std::optional<int64_t> expected_revision) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", name));
  ALCOVE_RETURN_IF_ERROR(CheckConfig(config));
  std::optional<Collection> updated;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(updated, LockByName(c, tenant, name));
    if (expected_revision && *expected_revision != updated->config_revision) {
      return absl::AbortedError(absl::StrCat("collection \"", name, "\" is at revision ", updated->config_revision,
                                             ", not ", *expected_revision, ": read it again and repeat the change"));
    }
    updated->config = std::string(config);
    ++updated->config_revision;
    ALCOVE_RETURN_IF_ERROR(c.Execute("UPDATE collections SET config = $1, config_revision = $2 WHERE id = $3",
                                     {Blob(config), Int(updated->config_revision), Int(updated->id)})
                               .status());
    return BumpCatalog(c);
  }));
  return *std::move(updated);
}

absl::StatusOr<Collection> CollectionStore::Delete(absl::string_view tenant, absl::string_view name) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", name));
  std::optional<Collection> deleted;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(deleted, LockByName(c, tenant, name));
    std::string alias;
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT name FROM collection_aliases WHERE collection_id = $1 ORDER BY name LIMIT 1",
                                   {Int(deleted->id)}, [&](const Row& row) {
                                     alias = row.Text(0);
                                     return absl::OkStatus();
                                   }));
    if (!alias.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the alias \"", alias, "\" leads to collection \"", name, "\": move or delete it first"));
    }
    deleted->state = CollectionState::kDropping;
    ALCOVE_RETURN_IF_ERROR(c.Execute("UPDATE collections SET state = 2 WHERE id = $1", {Int(deleted->id)}).status());
    return BumpCatalog(c);
  }));
  return *std::move(deleted);
}

absl::StatusOr<Collection> CollectionStore::BeginResharding(CollectionId id, int32_t shard_count) {
  ALCOVE_RETURN_IF_ERROR(CheckShardCount(shard_count));
  std::optional<Collection> changed;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(changed, LockById(c, id));
    if (changed->next_placement) {
      return absl::FailedPreconditionError(
          absl::StrCat("collection \"", changed->name, "\" is already being resharded to ",
                       changed->next_placement->shard_count, " shards: commit or abort that first"));
    }
    if (changed->placement.shard_count == shard_count) {
      return absl::FailedPreconditionError(
          absl::StrCat("collection \"", changed->name, "\" has ", shard_count, " shards already"));
    }
    // An aborted resharding may have left logs behind: its epoch is not used again.
    int64_t newest_epoch = 0;
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT COALESCE(MAX(epoch), 0) FROM log_streams WHERE collection_id = $1",
                                   {Int(id)}, [&](const Row& row) {
                                     newest_epoch = row.Int(0);
                                     return absl::OkStatus();
                                   }));
    changed->next_placement = Placement{shard_count, std::max(newest_epoch, changed->placement.epoch) + 1};
    ALCOVE_RETURN_IF_ERROR(c.Execute("UPDATE collections SET next_shard_count = $1, next_epoch = $2 WHERE id = $3",
                                     {Int(shard_count), Int(changed->next_placement->epoch), Int(id)})
                               .status());
    ALCOVE_RETURN_IF_ERROR(CreateStreams(c, id, *changed->next_placement));
    for (int32_t shard = 0; shard < changed->placement.shard_count; ++shard) {
      ALCOVE_RETURN_IF_ERROR(
          c.Execute("INSERT INTO log_copies (collection_id, shard, copied_sequence) VALUES ($1, $2, 0)",
                    {Int(id), Int(shard)})
              .status());
    }
    return BumpCatalog(c);
  }));
  return *std::move(changed);
}

absl::StatusOr<Collection> CollectionStore::AbortResharding(CollectionId id) {
  std::optional<Collection> changed;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(changed, LockById(c, id));
    if (!changed->next_placement) {
      return absl::FailedPreconditionError(absl::StrCat("collection \"", changed->name, "\" is not being resharded"));
    }
    changed->next_placement.reset();
    ALCOVE_RETURN_IF_ERROR(
        c.Execute("UPDATE collections SET next_shard_count = 0, next_epoch = 0 WHERE id = $1", {Int(id)}).status());
    ALCOVE_RETURN_IF_ERROR(c.Execute("DELETE FROM log_copies WHERE collection_id = $1", {Int(id)}).status());
    return BumpCatalog(c);
  }));
  return *std::move(changed);
}

absl::StatusOr<Alias> CollectionStore::SetAlias(absl::string_view tenant, absl::string_view alias,
                                                absl::string_view collection) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("alias", alias));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("collection", collection));
  Alias result;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const Collection target, LockByName(c, tenant, collection));
    ALCOVE_RETURN_IF_ERROR(BumpCatalog(c));
    bool taken = false;
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT 1 FROM collections WHERE tenant = $1 AND name = $2 AND state = 1",
                                   {Text(tenant), Text(alias)}, [&](const Row&) {
                                     taken = true;
                                     return absl::OkStatus();
                                   }));
    if (taken) return AlreadyExists("collection", alias);
    result = {std::string(alias), target.id, target.name};
    return c
        .Execute(
            "INSERT INTO collection_aliases (tenant, name, collection_id) VALUES ($1, $2, $3) ON CONFLICT "
            "(tenant, name) DO UPDATE SET collection_id = excluded.collection_id",
            {Text(tenant), Text(alias), Int(target.id)})
        .status();
  }));
  return result;
}

absl::Status CollectionStore::DeleteAlias(absl::string_view tenant, absl::string_view alias) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("alias", alias));
  return db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(
        const int64_t removed,
        c.Execute("DELETE FROM collection_aliases WHERE tenant = $1 AND name = $2", {Text(tenant), Text(alias)}));
    if (removed == 0) return NotFound("alias", alias);
    return BumpCatalog(c);
  });
}

absl::StatusOr<AliasPage> CollectionStore::ListAliases(absl::string_view tenant, const PageRequest& page) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const std::string after, internal::ReadPageToken("aliases", page.page_token));
  AliasPage out;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    out.aliases.clear();
    return c.Query(
        "SELECT a.name, a.collection_id, c.name FROM collection_aliases a JOIN collections c ON c.id = "
        "a.collection_id WHERE a.tenant = $1 AND a.name > $2 ORDER BY a.name LIMIT $3",
        {Text(tenant), Text(after), Int(size + 1)}, [&](const Row& row) {
          out.aliases.push_back({row.Text(0), row.Int(1), row.Text(2)});
          return absl::OkStatus();
        });
  }));
  if (static_cast<int64_t>(out.aliases.size()) > size) {
    out.aliases.resize(static_cast<size_t>(size));
    out.next_page_token = internal::MakePageToken("aliases", out.aliases.back().name);
  }
  return out;
}

absl::StatusOr<std::vector<std::pair<std::string, Alias>>> CollectionStore::AllAliases() {
  std::vector<std::pair<std::string, Alias>> out;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    out.clear();
    return c.Query(
        "SELECT a.tenant, a.name, a.collection_id, c.name FROM collection_aliases a JOIN collections c ON "
        "c.id = a.collection_id ORDER BY a.tenant, a.name",
        {}, [&](const Row& row) {
          out.emplace_back(row.Text(0), Alias{row.Text(1), row.Int(2), row.Text(3)});
          return absl::OkStatus();
        });
  }));
  return out;
}

absl::StatusOr<int64_t> CollectionStore::CatalogVersion() {
  int64_t version = 0;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    return c.Query("SELECT value FROM counters WHERE name = 'catalog'", {}, [&](const Row& row) {
      version = row.Int(0);
      return absl::OkStatus();
    });
  }));
  return version;
}

}  // namespace alcove::store
