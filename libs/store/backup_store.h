#pragma once

// Backup and restore of the whole store, of a tenant's collections or of one, to and from one file
// (docs/formats/backup.md). The file fits either engine: what was written from SQLite can be restored into PostgreSQL
// and the other way round.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace alcove::store {

class Database;

struct BackupProgress {
  int64_t records = 0;  // of logs
  int64_t bytes = 0;    // of the file
  double fraction = 0;  // of the work, 0..1
};

// Called after each few megabytes, on the caller's thread; anything but OK ends the work with that status.
using BackupObserver = std::function<absl::Status(const BackupProgress&)>;

// What a file holds. The numbers are the file's.
enum class BackupScope {
  kCollection = 0,
  kStore = 1,   // every collection, tenants, keys, aliases, audit trail
  kTenant = 2,  // every collection of a tenant and its aliases
};

struct BackupSummary {
  BackupScope scope = BackupScope::kCollection;
  absl::Time taken_at;
  int64_t collections = 0;
  int64_t records = 0;
  int64_t rows = 0;  // of tenants, keys, aliases and audit events
  int64_t bytes = 0;
};

struct BackupOptions {
  // (tenant, name); an empty name: all the tenant's collections, of which there may be none; nullopt: everything.
  std::optional<std::pair<std::string, std::string>> collection;
  BackupObserver progress;  // may be null
};

struct RestoreOptions {
  std::string as_tenant;    // for a file that is not of a whole store; empty keeps its own
  std::string as_name;      // for the file of one collection; empty keeps its own
  BackupObserver progress;  // may be null; the check of the file is the first half
};

// Thread-safe. Blocking for as long as the data takes.
class BackupStore {
 public:
  explicit BackupStore(Database* db) : db_(db) {}
  BackupStore(const BackupStore&) = delete;
  BackupStore& operator=(const BackupStore&) = delete;

  // Writes `path`, which holds every collection as of one moment: the heads of all logs are read in one transaction,
  // and compaction leaves what lies below them alone until the backup has it. Reading and writing go on meanwhile.
  // Collections that are being dropped are left out; one that is dropped while it is read makes the backup fail
  // (ABORTED). Nothing is at `path` unless the result is OK. NOT_FOUND: no such collection.
  absl::StatusOr<BackupSummary> Write(const std::string& path, const BackupOptions& options = {});

  // Reads the whole file and checks every checksum and count. DATA_LOSS says what is damaged and where;
  // FAILED_PRECONDITION for a file of a newer version.
  static absl::StatusOr<BackupSummary> Verify(const std::string& path);

  // Verifies the file first; then collections appear all at once at the end, with the sequences they had, or not at
  // all. A whole store is restored only into an empty one (FAILED_PRECONDITION). ALREADY_EXISTS: a collection or alias
  // has a name that would be restored.
  absl::StatusOr<BackupSummary> Restore(const std::string& path, const RestoreOptions& options = {});

 private:
  Database* const db_;
};

}  // namespace alcove::store
