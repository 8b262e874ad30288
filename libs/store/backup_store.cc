#include "libs/store/backup_store.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <vector>

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"
#include "libs/store/collection_store.h"
#include "libs/store/internal/backup_file.h"
#include "libs/store/internal/backup_walk.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/internal/log_rows.h"
#include "libs/store/internal/text.h"
#include "libs/store/log_store.h"

namespace alcove::store {
namespace {

using internal::BackupBlock;
using internal::BackupOutput;
using internal::BackupReader;
using internal::BackupVisitor;
using internal::BackupWriter;
using internal::Position;
using internal::Stream;
using internal::WalkBackup;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

constexpr int64_t kPageBytes = 4 << 20;
constexpr absl::Duration kHoldRefresh = absl::Minutes(1);

// The tables beside collections and logs. `columns` are typed by one letter each: i integer, t text, b blob.
struct Table {
  const char* name;
  const char* types;
  const char* select;  // everything, in a fixed order
  const char* insert;
};
constexpr Table kTables[] = {
    {"tenants", "ttii", "SELECT id, display_name, disabled, created_at FROM tenants ORDER BY id",
     "INSERT INTO tenants (id, display_name, disabled, created_at) VALUES ($1, $2, $3, $4)"},
    {"api_keys", "tttbtiiii",
     "SELECT id, tenant, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys ORDER BY "
     "id",
     "INSERT INTO api_keys (id, tenant, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at) VALUES "
     "($1, $2, $3, $4, $5, $6, $7, $8, $9)"},
    {"audit_events", "ittttttt",
     "SELECT time, tenant, actor, action, resource, outcome, request_id, detail FROM audit_events ORDER BY id",
     "INSERT INTO audit_events (time, tenant, actor, action, resource, outcome, request_id, detail) VALUES ($1, $2, "
     "$3, "
     "$4, $5, $6, $7, $8)"},
};
constexpr char kAliases[] = "aliases";

// A shard as of the moment of the backup.
struct ShardState {
  int64_t stream_id = 0;
  ShardHead head;
};

struct BackedUp {
  Collection row;
  std::string floors;
  std::vector<ShardState> shards;  // of the placement in force, ascending
  std::vector<std::string> aliases;
};

std::string HoldName() {
  static std::atomic<int> serial{0};
  return absl::StrCat(internal::kBackupHoldPrefix, ::getpid(), "-", ++serial, "-", absl::ToUnixMicros(absl::Now()));
}

// Puts what it is shown into the database, out of everybody's sight (state kRestoring) until Publish.
class Restorer final : public BackupVisitor {
 public:
  Restorer(Database* db, const RestoreOptions& options) : db_(db), options_(options) {}

  absl::Status OnHeader(const Header& header) override {
    if (header.scope == BackupScope::kStore && !(options_.as_name.empty() && options_.as_tenant.empty())) {
      return absl::InvalidArgumentError("a backup of the whole store cannot be restored under another name");
    }
    if (header.scope == BackupScope::kTenant && !options_.as_name.empty()) {
      return absl::InvalidArgumentError("a backup of several collections cannot be restored under another name");
    }
    if (header.scope != BackupScope::kStore) return absl::OkStatus();
    return db_->Write([this](Connection& c) -> absl::Status {
      for (const char* statement :
           {"SELECT 1 FROM collections WHERE state = 1 LIMIT 1", "SELECT 1 FROM tenants LIMIT 1"}) {
        bool found = false;
        ALCOVE_RETURN_IF_ERROR(c.Query(statement, {}, [&](const Row&) {
          found = true;
          return absl::OkStatus();
        }));
        if (found) {
          return absl::FailedPreconditionError(
              absl::StrCat(db_->location(), " is not empty: a whole store is restored into a new one only"));
        }
      }
      return absl::OkStatus();
    });
  }

  absl::Status OnCollection(const CollectionHeader& given) override {
    header_ = given;
    if (!options_.as_tenant.empty()) header_.tenant = options_.as_tenant;
    if (!options_.as_name.empty()) header_.name = options_.as_name;
    ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", header_.tenant));
    ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", header_.name));
    return db_->Write([this](Connection& c) -> absl::Status {
      ALCOVE_RETURN_IF_ERROR(CheckNameFree(c, header_.tenant, header_.name));
      // What a restore that was cut short left behind.
      ALCOVE_RETURN_IF_ERROR(c.Execute("UPDATE collections SET state = 2 WHERE tenant = $1 AND name = $2 AND state = 3",
                                       {Text(header_.tenant), Text(header_.name)})
                                 .status());
      streams_.clear();
      id_ = 0;
      ALCOVE_RETURN_IF_ERROR(
          c.Query("INSERT INTO collections (tenant, name, config, config_revision, shard_count, epoch, "
                  "next_shard_count, next_epoch, state, created_at, floors) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 3, "
                  "$7, $8) RETURNING id",
                  {Text(header_.tenant), Text(header_.name), Blob(header_.config), Int(header_.revision),
                   Int(static_cast<int64_t>(header_.shards.size())), Int(header_.epoch), Int(header_.created_at),
                   Text(header_.floors)},
                  [&](const Row& row) {
                    id_ = row.Int(0);
                    return absl::OkStatus();
                  }));
      for (const ShardHead& head : header_.shards) {
        ALCOVE_RETURN_IF_ERROR(
            c.Query("INSERT INTO log_streams (collection_id, epoch, shard, head_sequence, base_sequence, "
                    "tombstone_floor) VALUES ($1, $2, $3, $4, $5, $6) RETURNING stream_id",
                    {Int(id_), Int(header_.epoch), Int(head.address.shard), Int(head.head_sequence),
                     Int(head.base_sequence), Int(head.tombstone_floor)},
                    [&](const Row& row) {
                      streams_.push_back(row.Int(0));
                      return absl::OkStatus();
                    }));
      }
      return absl::OkStatus();
    });
  }

  absl::Status OnRecords(int32_t shard, absl::Span<const StoredRecord> records) override {
    const int64_t stream = streams_[static_cast<size_t>(shard)];
    const Sequence base = header_.shards[static_cast<size_t>(shard)].base_sequence;
    return db_->Write([&](Connection& c) -> absl::Status {
      std::vector<LogRecord> tail;
      Sequence last = base;
      for (const StoredRecord& record : records) {
        const LogRecord plain{record.kind, record.key, record.data};
        if (record.sequence > base) {
          if (tail.empty()) last = record.sequence - 1;
          tail.push_back(plain);
          continue;
        }
        ALCOVE_RETURN_IF_ERROR(
            c.Execute("INSERT INTO log_base (position, stream_id, record_key, kind, size, checksum, data) VALUES ($1, "
                      "$2, $3, $4, $5, $6, $7)",
                      {Int(Position(stream, record.sequence)), Int(stream), Blob(record.key),
                       Int(static_cast<int64_t>(record.kind)),
                       Int(static_cast<int64_t>(record.key.size() + record.data.size())),
                       Int(internal::RecordChecksum(plain)), Blob(record.data)})
                .status());
      }
      if (tail.empty()) return absl::OkStatus();
      for (const internal::Chunk& chunk : internal::EncodeChunks(tail)) {
        last += chunk.count;
        ALCOVE_RETURN_IF_ERROR(
            c.Execute("INSERT INTO log_tail (position, size, chunk) VALUES ($1, $2, $3)",
                      {Int(Position(stream, last)), Int(static_cast<int64_t>(chunk.bytes.size())), Blob(chunk.bytes)})
                .status());
      }
      return absl::OkStatus();
    });
  }

  absl::Status OnCollectionEnd() override {
    restored_.push_back({id_, header_.tenant, header_.name});
    return absl::OkStatus();
  }

  absl::Status OnRow(absl::string_view table, BackupReader& values) override {
    rows_.emplace_back(std::string(table), std::vector<StoredValue>());
    const char* types = TypesOf(table);
    if (types == nullptr) return absl::DataLossError(absl::StrCat("unknown table \"", table, "\""));
    for (const char* type = types; *type != 0; ++type) {
      StoredValue value;
      absl::string_view bytes;
      if (*type == 'i' ? !values.Number(&value.number) : !values.Bytes(&bytes)) {
        return absl::DataLossError(absl::StrCat("a row of ", table, " does not fit"));
      }
      value.bytes = std::string(bytes);
      rows_.back().second.push_back(std::move(value));
    }
    return values.empty() ? absl::OkStatus() : absl::DataLossError(absl::StrCat("a row of ", table, " is too long"));
  }

  // Everything appears in one transaction.
  absl::Status Publish() {
    return db_->Write([this](Connection& c) -> absl::Status {
      ALCOVE_RETURN_IF_ERROR(c.Execute("UPDATE counters SET value = value + 1", {}).status());
      for (const Restored& one : restored_) {
        ALCOVE_RETURN_IF_ERROR(CheckNameFree(c, one.tenant, one.name));
        ALCOVE_RETURN_IF_ERROR(
            c.Execute("UPDATE collections SET state = 1 WHERE id = $1 AND state = 3", {Int(one.id)}).status());
      }
      for (const auto& [table, values] : rows_) {
        if (table == kAliases) {
          const std::string& tenant = options_.as_tenant.empty() ? values[0].bytes : options_.as_tenant;
          ALCOVE_RETURN_IF_ERROR(CheckNameFree(c, tenant, values[1].bytes));
          ALCOVE_RETURN_IF_ERROR(
              c.Execute("INSERT INTO collection_aliases (tenant, name, collection_id) SELECT $1, $2, id FROM "
                        "collections WHERE tenant = $3 AND name = $4 AND state = 1",
                        {Text(tenant), Text(values[1].bytes), Text(tenant), Text(values[2].bytes)})
                  .status());
          continue;
        }
        for (const Table& known : kTables) {
          if (table != known.name) continue;
          std::vector<sql::Value> args;
          for (size_t i = 0; i < values.size(); ++i) {
            switch (known.types[i]) {
              case 'i': args.push_back(Int(values[i].number)); break;
              case 't': args.push_back(Text(values[i].bytes)); break;
              default: args.push_back(Blob(values[i].bytes));
            }
          }
          ALCOVE_RETURN_IF_ERROR(c.Execute(known.insert, absl::MakeConstSpan(args)).status());
        }
      }
      return absl::OkStatus();
    });
  }

  // Leaves what was copied to be removed.
  void Abandon() {
    db_->Write([this](Connection& c) -> absl::Status {
         std::vector<Restored> all = restored_;
         if (id_ != 0) all.push_back({id_, "", ""});
         for (const Restored& one : all) {
           ALCOVE_RETURN_IF_ERROR(
               c.Execute("UPDATE collections SET state = 2 WHERE id = $1 AND state = 3", {Int(one.id)}).status());
         }
         return c.Execute("UPDATE counters SET value = value + 1 WHERE name = 'catalog'", {}).status();
       })
        .IgnoreError();
  }

 private:
  struct StoredValue {
    int64_t number = 0;
    std::string bytes;
  };
  struct Restored {
    CollectionId id = 0;
    std::string tenant, name;
  };

  static const char* TypesOf(absl::string_view table) {
    if (table == kAliases) return "ttt";
    for (const Table& known : kTables) {
      if (table == known.name) return known.types;
    }
    return nullptr;
  }

  static absl::Status CheckNameFree(Connection& c, absl::string_view tenant, absl::string_view name) {
    bool taken = false;
    const auto take = [&](const Row&) {
      taken = true;
      return absl::OkStatus();
    };
    ALCOVE_RETURN_IF_ERROR(c.Query("SELECT 1 FROM collections WHERE tenant = $1 AND name = $2 AND state = 1",
                                   {Text(tenant), Text(name)}, take));
    if (taken) return AlreadyExists("collection", name);
    ALCOVE_RETURN_IF_ERROR(
        c.Query("SELECT 1 FROM collection_aliases WHERE tenant = $1 AND name = $2", {Text(tenant), Text(name)}, take));
    return taken ? AlreadyExists("alias", name) : absl::OkStatus();
  }

  Database* const db_;
  const RestoreOptions& options_;
  CollectionHeader header_;
  CollectionId id_ = 0;
  std::vector<int64_t> streams_;  // [shard]
  std::vector<Restored> restored_;
  std::vector<std::pair<std::string, std::vector<StoredValue>>> rows_;
};

}  // namespace

absl::StatusOr<BackupSummary> BackupStore::Write(const std::string& path, const BackupOptions& options) {
  const BackupScope scope = !options.collection                  ? BackupScope::kStore
                            : options.collection->second.empty() ? BackupScope::kTenant
                                                                 : BackupScope::kCollection;
  const std::string hold = HoldName();
  std::vector<BackedUp> collections;
  const absl::Time taken_at = db_->clock().Now();
  // One moment for all logs: their rows are locked while the heads are read.
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    collections.clear();
    const auto take = [&](const Row& row) {
      BackedUp& one = collections.emplace_back();
      one.row.id = row.Int(0);
      one.row.tenant = row.Text(1);
      one.row.name = row.Text(2);
      one.row.config = row.Blob(3);
      one.row.config_revision = row.Int(4);
      one.row.placement = {static_cast<int32_t>(row.Int(5)), row.Int(6)};
      one.row.created_at = internal::FromMicros(row.Int(7));
      one.floors = row.Text(8);
      return absl::OkStatus();
    };
    static constexpr char kAll[] =
        "SELECT id, tenant, name, config, config_revision, shard_count, epoch, created_at, floors FROM collections "
        "WHERE state = 1 ORDER BY id {FOR SHARE}";
    static constexpr char kOfTenant[] =
        "SELECT id, tenant, name, config, config_revision, shard_count, epoch, created_at, floors FROM collections "
        "WHERE tenant = $1 AND state = 1 ORDER BY id {FOR SHARE}";
    static constexpr char kOne[] =
        "SELECT id, tenant, name, config, config_revision, shard_count, epoch, created_at, floors FROM collections "
        "WHERE tenant = $1 AND name = $2 AND state = 1 {FOR SHARE}";
    if (scope == BackupScope::kCollection) {
      const auto& [tenant, name] = *options.collection;
      ALCOVE_RETURN_IF_ERROR(c.Query(kOne, {Text(tenant), Text(name)}, take));
      if (collections.empty()) return NotFound("collection", name);
    } else if (scope == BackupScope::kTenant) {
      ALCOVE_RETURN_IF_ERROR(c.Query(kOfTenant, {Text(options.collection->first)}, take));
    } else {
      ALCOVE_RETURN_IF_ERROR(c.Query(kAll, {}, take));
    }
    for (BackedUp& one : collections) {
      for (int32_t shard = 0; shard < one.row.placement.shard_count; ++shard) {
        ALCOVE_ASSIGN_OR_RETURN(const Stream stream,
                                internal::FindStream(c, {one.row.id, one.row.placement.epoch, shard}, /*lock=*/true));
        one.shards.push_back({stream.id, stream.head});
        ALCOVE_RETURN_IF_ERROR(
            c.Execute("INSERT INTO log_readers (stream_id, reader, sequence, seen_at) VALUES ($1, $2, $3, $4)",
                      {Int(stream.id), Text(hold), Int(stream.head.head_sequence), Int(db_->NowMicros())})
                .status());
      }
      if (scope == BackupScope::kCollection) continue;
      ALCOVE_RETURN_IF_ERROR(c.Query("SELECT name FROM collection_aliases WHERE collection_id = $1 ORDER BY name",
                                     {Int(one.row.id)}, [&](const Row& row) {
                                       one.aliases.push_back(row.Text(0));
                                       return absl::OkStatus();
                                     }));
    }
    return absl::OkStatus();
  }));
  absl::StatusOr<BackupSummary> result = [&]() -> absl::StatusOr<BackupSummary> {
    ALCOVE_ASSIGN_OR_RETURN(const std::unique_ptr<BackupOutput> out, BackupOutput::Create(path));
    BackupSummary summary;
    summary.scope = scope;
    summary.taken_at = taken_at;
    Sequence total = 1;
    for (const BackedUp& one : collections) {
      for (const ShardState& shard : one.shards) total += shard.head.head_sequence;
    }
    Sequence passed = 0;
    BackupWriter header;
    header.Number(static_cast<int64_t>(scope));
    header.Number(internal::ToMicros(taken_at));
    ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kHeader, header.out()));

    absl::Time refreshed = db_->clock().Now();
    const auto refresh = [&]() -> absl::Status {
      if (db_->clock().Now() - refreshed < kHoldRefresh) return absl::OkStatus();
      refreshed = db_->clock().Now();
      return db_->Write([&](Connection& c) {
        return c.Execute("UPDATE log_readers SET seen_at = $1 WHERE reader = $2", {Int(db_->NowMicros()), Text(hold)})
            .status();
      });
    };
    LogStore log(db_);
    for (const BackedUp& one : collections) {
      BackupWriter about;
      about.Bytes(one.row.tenant);
      about.Bytes(one.row.name);
      about.Bytes(one.row.config);
      about.Bytes(one.floors);
      about.Number(one.row.config_revision);
      about.Number(internal::ToMicros(one.row.created_at));
      about.Number(one.row.placement.epoch);
      about.Number(static_cast<int64_t>(one.shards.size()));
      for (const ShardState& shard : one.shards) {
        about.Number(shard.head.head_sequence);
        about.Number(shard.head.base_sequence);
        about.Number(shard.head.tombstone_floor);
      }
      ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kCollection, about.out()));
      ++summary.collections;
      int64_t records = 0;
      for (const ShardState& shard : one.shards) {
        ReadPosition position{0, shard.head.tombstone_floor};
        while (position.after_sequence < shard.head.head_sequence) {
          absl::StatusOr<LogPage> page = log.ReadFrom(shard.head.address, position, kPageBytes);
          if (absl::IsNotFound(page.status())) {
            return absl::AbortedError(
                absl::StrCat("collection \"", one.row.name, "\" was dropped or resharded while it was backed up"));
          }
          if (!page.ok()) return page.status();
          // Held off while the hold is fresh, so this process must have been stopped for long.
          if (page->head().base_sequence != shard.head.base_sequence) {
            return absl::AbortedError(
                absl::StrCat("the log of ", ToString(shard.head.address), " was compacted while it was backed up"));
          }
          BackupWriter block;
          int64_t count = 0;
          for (const StoredRecord& record : page->records()) {
            if (record.sequence > shard.head.head_sequence) break;
            ++count;
          }
          block.Number(shard.head.address.shard);
          block.Number(count);
          for (int64_t i = 0; i < count; ++i) {
            const StoredRecord& record = page->records()[static_cast<size_t>(i)];
            block.Number(record.sequence);
            block.Number(static_cast<int64_t>(record.kind));
            block.Bytes(record.key);
            block.Bytes(record.data);
            position.after_sequence = record.sequence;
          }
          if (count > 0) ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kRecords, block.out()));
          records += count;
          summary.records += count;
          if (page->at_end() || count < static_cast<int64_t>(page->records().size())) {
            position.after_sequence = shard.head.head_sequence;
          }
          if (options.progress) {
            ALCOVE_RETURN_IF_ERROR(
                options.progress({summary.records, out->bytes(),
                                  static_cast<double>(passed + position.after_sequence) / static_cast<double>(total)}));
          }
          ALCOVE_RETURN_IF_ERROR(refresh());
        }
        passed += shard.head.head_sequence;
      }
      BackupWriter end;
      end.Number(records);
      ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kCollectionEnd, end.out()));
    }
    for (const BackedUp& one : collections) {
      for (const std::string& alias : one.aliases) {
        BackupWriter row;
        row.Bytes(kAliases);
        row.Bytes(one.row.tenant);
        row.Bytes(alias);
        row.Bytes(one.row.name);
        ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kRow, row.out()));
        ++summary.rows;
      }
    }
    if (scope == BackupScope::kStore) {
      // Small: read at once, written afterwards.
      std::vector<std::string> rows;
      ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
        rows.clear();
        for (const Table& table : kTables) {
          ALCOVE_RETURN_IF_ERROR(c.Query(table.select, {}, [&](const Row& row) {
            BackupWriter values;
            values.Bytes(table.name);
            for (int i = 0; table.types[i] != 0; ++i) {
              switch (table.types[i]) {
                case 'i': values.Number(row.Int(i)); break;
                case 't': values.Bytes(row.Text(i)); break;
                default: values.Bytes(row.Blob(i));
              }
            }
            rows.push_back(std::move(values.out()));
            return absl::OkStatus();
          }));
        }
        return absl::OkStatus();
      }));
      for (const std::string& row : rows) ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kRow, row));
      summary.rows += static_cast<int64_t>(rows.size());
    }
    BackupWriter end;
    end.Number(out->blocks());
    end.Number(summary.records);
    ALCOVE_RETURN_IF_ERROR(out->Block(BackupBlock::kEnd, end.out()));
    ALCOVE_RETURN_IF_ERROR(out->Commit());
    summary.bytes = out->bytes();
    return summary;
  }();
  db_->Write(
         [&](Connection& c) { return c.Execute("DELETE FROM log_readers WHERE reader = $1", {Text(hold)}).status(); })
      .IgnoreError();  // it expires by itself, too
  return result;
}

absl::StatusOr<BackupSummary> BackupStore::Verify(const std::string& path) {
  BackupVisitor nothing;
  return WalkBackup(path, nothing, nullptr, 0);
}

absl::StatusOr<BackupSummary> BackupStore::Restore(const std::string& path, const RestoreOptions& options) {
  std::error_code unknown;  // reading says what is wrong with the file
  const auto size = std::filesystem::file_size(path, unknown);
  const int64_t file_bytes = unknown ? 0 : static_cast<int64_t>(size);
  // The file is read twice.
  const auto half = [&](double begin) -> BackupObserver {
    if (!options.progress) return nullptr;
    return [&options, begin](const BackupProgress& at) {
      return options.progress({at.records, at.bytes, begin + at.fraction / 2});
    };
  };
  BackupVisitor nothing;
  ALCOVE_RETURN_IF_ERROR(WalkBackup(path, nothing, half(0), file_bytes).status());
  Restorer restorer(db_, options);
  absl::StatusOr<BackupSummary> summary = WalkBackup(path, restorer, half(0.5), file_bytes);
  if (summary.ok()) {
    if (absl::Status status = restorer.Publish(); !status.ok()) summary = std::move(status);
  }
  if (!summary.ok()) restorer.Abandon();
  return summary;
}

}  // namespace alcove::store
