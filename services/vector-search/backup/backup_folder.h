// Where backups are and what is known of them: one folder a backup (README.md). Several processes may use the same
// folder at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "alcove/vector/v1/backup.pb.h"

namespace alcove::vector_search {

namespace pb = ::alcove::vector::v1;

// A file lock that ends with its object or its process. Move-only.
class FileLock {
 public:
  FileLock() = default;
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  friend class BackupFolder;
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

struct BackupPage {
  std::vector<pb::Backup> backups;  // by name
  std::string next_page_token;      // empty on the last page
};

// Thread-safe. Blocking: every call reads or writes files.
class BackupFolder {
 public:
  // Empty: every call answers FAILED_PRECONDITION.
  explicit BackupFolder(std::string root) : root_(std::move(root)) {}

  // INVALID_ARGUMENT unless `name` is 1 to 100 letters, digits, '.', '_' and '-' that begin with a letter or digit:
  // such a name stays inside its folder.
  static absl::Status CheckName(absl::string_view name);
  // FAILED_PRECONDITION, saying which setting is empty, unless there is a folder.
  absl::Status CheckConfigured() const;

  // Makes the backup's folder and writes its first record; a failed backup of the name is replaced. ALREADY_EXISTS. The
  // lock says to all processes that somebody works on it.
  absl::StatusOr<FileLock> Claim(const std::string& tenant, const pb::Backup& backup);
  // NOT_FOUND. A record that says RUNNING though nobody works on it is answered as FAILED.
  absl::StatusOr<pb::Backup> Get(const std::string& tenant, const std::string& name) const;
  // Page size 0 means 100. INVALID_ARGUMENT: above 1,000, or a token of something else.
  absl::StatusOr<BackupPage> List(const std::string& tenant, uint32_t page_size, const std::string& page_token) const;
  // Replaces the record; ABORTED when it has been removed, or is another backup's by now.
  absl::Status Update(const std::string& tenant, const pb::Backup& backup);
  // Removes the backup with its data, whatever its state. NOT_FOUND. FAILED_PRECONDITION: it is being restored.
  absl::Status Remove(const std::string& tenant, const std::string& name);
  // Where the backup's data is or will be.
  std::string DataFile(const std::string& tenant, const pb::Backup& backup) const;

  // As for backups. FAILED_PRECONDITION: a restore of the backup is under way.
  absl::StatusOr<FileLock> ClaimRestore(const std::string& tenant, const pb::Restore& restore);
  absl::StatusOr<pb::Restore> GetRestore(const std::string& tenant, const std::string& name) const;
  // ABORTED also when the restore has been given up (CancelRestore).
  absl::Status UpdateRestore(const std::string& tenant, const pb::Restore& restore);
  // The last record of a restore, whether it was given up or not.
  absl::Status EndRestore(const std::string& tenant, const pb::Restore& restore);
  // Marks the restore as given up; its process notices. FAILED_PRECONDITION: none is under way.
  absl::Status CancelRestore(const std::string& tenant, const std::string& name);

 private:
  absl::Status ReplaceRestore(const std::string& tenant, const pb::Restore& restore, bool even_if_ended);
  std::string TenantFolder(absl::string_view tenant) const;
  std::string FolderOf(absl::string_view tenant, absl::string_view name) const;

  const std::string root_;
};

// A job of which its process is gone; what both kinds of record say then.
inline constexpr absl::string_view kAbandoned = "the process that worked on it ended";

}  // namespace alcove::vector_search
