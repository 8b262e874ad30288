#pragma once

// The SQL store every durable fact of the suite lives in: collections, the write log of each shard, tenants and API
// keys, the audit trail. One schema and one migration list serve two engines:
//   SQLite      one file in WAL mode, opened by several processes of one machine at once (the embedded default)
//   PostgreSQL  and engines that speak its protocol (the cluster)
//
// Thread safety: Store and every repository it hands out may be used from any number of threads. All calls block on
// the database; an event loop must call them from a worker thread. A Store must not be carried over fork().
//
// Errors common to every method:
//   UNAVAILABLE         the server cannot be reached, or the database stayed locked past the busy timeout; retry
//   RESOURCE_EXHAUSTED  disk or quota full; the transaction left nothing behind
//   PERMISSION_DENIED   read-only file or folder, or the server refuses the user's right
//   DATA_LOSS           the file or a stored record is damaged
// Acknowledgement: a write that returned OK is committed, and with Durability::kFull it has reached the disk.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace alcove {
class Clock;
}

namespace alcove::store {

class AuditStore;
class BackupStore;
class CollectionStore;
class KeyStore;
class LogStore;

enum class Durability {
  kFull,    // every commit is fsynced before it is acknowledged
  kNormal,  // a power cut, or the death of PostgreSQL's server, may lose the last commits; a killed process none
};

struct StoreOptions {
  Durability durability = Durability::kFull;

  // Clock of stored times, waits and retries. Null means the real one. Must outlive the store.
  Clock* clock = nullptr;

  // Most database connections held at once by this process, 2..64. SQLite uses one of them for writing.
  int connections = 8;

  // How long a call waits for another process's lock before it answers UNAVAILABLE.
  absl::Duration busy_timeout = absl::Seconds(10);

  // How long connecting to a server may take.
  absl::Duration connect_timeout = absl::Seconds(5);

  // How often a waiter looks for appends of other processes: each look is a change marker and no query on SQLite, but
  // wakes a thread, so that after 200 looks in vain it is taken an eighth as often; only the fallback of LISTEN/NOTIFY
  // on PostgreSQL. Hints (LogStore::HintAppended) wake at once.
  absl::Duration sqlite_poll_interval = absl::Milliseconds(5);
  absl::Duration postgres_poll_interval = absl::Seconds(1);

  // Appends waiting at the same time in this process share one transaction up to this many bytes. 0 turns it off.
  int64_t group_commit_bytes = 64 << 20;

  // SQLite only: the database file may not grow past this many bytes (RESOURCE_EXHAUSTED). 0 means no limit.
  int64_t sqlite_max_bytes = 0;

  // False: a missing SQLite file is NOT_FOUND instead of being created.
  bool create_if_missing = true;
};

enum class Engine { kSqlite, kPostgres };

class Store {
 public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  virtual CollectionStore& collections() = 0;
  virtual LogStore& log() = 0;
  virtual KeyStore& keys() = 0;
  virtual AuditStore& audit() = 0;
  virtual BackupStore& backups() = 0;

  virtual Engine engine() const = 0;
  // Where the data lives, without any password: fit for logs and error messages.
  virtual std::string location() const = 0;
  // One trivial query: OK when the database answers. For readiness checks.
  virtual absl::Status Ping() = 0;

 protected:
  Store() = default;
};

// Opens the store and brings its schema up to date. `url` is one of
//   sqlite:/absolute/path/alcove.db   sqlite:relative/path.db   (the folder must exist)
//   postgresql://user@host:5432/name  postgres://…              or a libpq string "host=… dbname=…"
// Safe when several processes open a new database at the same moment: one migrates, the others wait.
// Errors, besides the common ones: INVALID_ARGUMENT (url), NOT_FOUND (folder or file), UNAUTHENTICATED (user or
// password), FAILED_PRECONDITION (the schema was written by a newer Alcove, or a migration's text changed).
absl::StatusOr<std::unique_ptr<Store>> Open(absl::string_view url, const StoreOptions& options = {});

}  // namespace alcove::store
