// Makes backups and restores them in the background. What is known of each is in the folder (backup_folder.h), where
// every process finds it; a job belongs to the process that was asked.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/metrics.h"
#include "libs/common/request_context.h"
#include "libs/common/task_pool.h"
#include "libs/store/backup_store.h"
#include "services/vector-search/backup/backup_folder.h"

namespace alcove::vector_search {

struct BackupJobsOptions {
  std::string directory;  // empty: backups are not configured
  int threads = 1;        // jobs at a time
  size_t max_jobs = 16;   // under way or waiting; more are refused
  // How often a job writes down how far it is, and looks whether it is still wanted.
  absl::Duration note_every = absl::Milliseconds(500);
  Clock* clock = nullptr;        // null: the real one
  Registry* registry = nullptr;  // null: no metrics
};

// What the jobs need of the rest of the process. Both may block, and are called on any thread.
struct BackupHooks {
  // Before a restore begins: whether the tenant may have so many more collections and points.
  std::function<absl::Status(const std::string& tenant, int64_t collections, int64_t points)> check_room;
  // After one has ended well: makes the collections known.
  std::function<void()> restored;
};

// Thread-safe. Every method reads or writes files, so it belongs on a thread that may wait; all are FAILED_PRECONDITION
// when backups are not configured.
class BackupJobs {
 public:
  // `store` outlives this.
  BackupJobs(BackupJobsOptions options, store::BackupStore* store, BackupHooks hooks);
  ~BackupJobs();
  BackupJobs(const BackupJobs&) = delete;
  BackupJobs& operator=(const BackupJobs&) = delete;

  // `collection` is a collection's own name, or empty for all of the tenant's. See BackupService for the errors.
  absl::StatusOr<pb::Backup> Create(const std::string& tenant, const std::string& name, const std::string& collection);
  absl::StatusOr<pb::Backup> Get(const std::string& tenant, const std::string& name) const;
  absl::StatusOr<BackupPage> List(const std::string& tenant, uint32_t page_size, const std::string& page_token) const;
  absl::Status Delete(const std::string& tenant, const std::string& name);

  absl::StatusOr<pb::Restore> StartRestore(const std::string& tenant, const std::string& name,
                                           const std::string& collection);
  absl::StatusOr<pb::Restore> GetRestore(const std::string& tenant, const std::string& name) const;
  absl::Status CancelRestore(const std::string& tenant, const std::string& name);

  const BackupFolder& folder() const { return folder_; }
  // Takes no more jobs; those there are end soon and are noted as failed.
  void BeginStop();
  // The same; blocks until they have ended.
  void Stop();

 private:
  class Noter;

  // Takes a place among the jobs; RESOURCE_EXHAUSTED, UNAVAILABLE while stopping.
  absl::Status Enter();
  void Submit(std::function<void()> job);
  void Make(const std::string& tenant, pb::Backup backup);
  void Bring(const std::string& tenant, pb::Restore restore, const pb::Backup& backup);

  const BackupJobsOptions options_;
  store::BackupStore* const store_;
  const BackupHooks hooks_;
  Clock* const clock_;
  BackupFolder folder_;
  CounterFamily* ended_ = nullptr;
  CancellationSource stopping_;
  absl::Mutex mutex_;
  size_t jobs_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<TaskPool> pool_;  // last: its tasks end before anything they use goes
};

}  // namespace alcove::vector_search
