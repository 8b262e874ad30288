#pragma once

// What is in a backup, read block by block. The one reader behind Verify and Restore.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/store/backup_store.h"
#include "libs/store/internal/backup_file.h"
#include "libs/store/log_store.h"
#include "libs/store/types.h"

namespace alcove::store::internal {

// What a walk finds, in the order of the file; anything but OK ends the walk with that status.
class BackupVisitor {
 public:
  struct Header {
    BackupScope scope = BackupScope::kCollection;
    absl::Time taken_at;
  };
  struct CollectionHeader {
    std::string tenant, name, config, floors;
    int64_t revision = 0, created_at = 0, epoch = 0;
    std::vector<ShardHead> shards;
  };
  virtual ~BackupVisitor() = default;
  virtual absl::Status OnHeader(const Header&) { return absl::OkStatus(); }
  virtual absl::Status OnCollection(const CollectionHeader&) { return absl::OkStatus(); }
  virtual absl::Status OnRecords(int32_t shard, absl::Span<const StoredRecord> records) { return absl::OkStatus(); }
  virtual absl::Status OnCollectionEnd() { return absl::OkStatus(); }
  virtual absl::Status OnRow(absl::string_view table, BackupReader& values) { return absl::OkStatus(); }
};

// Shows the whole file to `visitor`, checking everything that can be checked without a database. DATA_LOSS names the
// file and what does not fit. `progress` (may be null) is given shares of `file_bytes`.
absl::StatusOr<BackupSummary> WalkBackup(const std::string& path, BackupVisitor& visitor,
                                         const BackupObserver& progress, int64_t file_bytes);

}  // namespace alcove::store::internal
