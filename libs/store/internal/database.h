#pragma once

// What the repositories stand on: a pool of connections to one engine, transactions with retry, the injected clock.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/common/clock.h"
#include "libs/store/internal/change_hub.h"
#include "libs/store/sql/connection.h"
#include "libs/store/store.h"

namespace alcove::store {

// Thread-safe.
class Database {
 public:
  // Work inside one transaction. It may run more than once (after a conflict), so it must set what it computes from
  // scratch each time. An error rolls the transaction back.
  using Work = absl::FunctionRef<absl::Status(sql::Connection&)>;

  Database(std::unique_ptr<sql::Driver> driver, const StoreOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // All reads of the work see one snapshot.
  absl::Status Read(Work work);
  // OK means committed.
  absl::Status Write(Work work);

  Engine engine() const { return driver_->engine(); }
  std::string location() const { return driver_->location(); }
  sql::Driver& driver() { return *driver_; }
  const StoreOptions& options() const { return options_; }
  Clock& clock() { return *clock_; }
  // Now, in the form tables hold: microseconds since 1970.
  int64_t NowMicros() { return absl::ToUnixMicros(clock_->Now()); }
  internal::ChangeHub& changes() { return changes_; }

  // Tells changes() when another process may have appended since the last call; starts watching with the first one.
  absl::Status PollAppends();

 private:
  absl::StatusOr<std::unique_ptr<sql::Connection>> Borrow();
  void GiveBack(std::unique_ptr<sql::Connection> connection);
  absl::Status RunOnce(sql::TransactionMode mode, sql::Connection& connection, Work work);
  absl::Status Pooled(sql::TransactionMode mode, Work work);
  absl::Status SingleWriter(Work work);
  absl::Status WithRetry(absl::FunctionRef<absl::Status()> attempt);

  const std::unique_ptr<sql::Driver> driver_;
  const StoreOptions options_;
  Clock* const clock_;
  internal::ChangeHub changes_;

  absl::Mutex pool_mutex_;
  std::vector<std::unique_ptr<sql::Connection>> idle_ ABSL_GUARDED_BY(pool_mutex_);
  int open_ ABSL_GUARDED_BY(pool_mutex_) = 0;

  absl::Mutex writer_mutex_ ABSL_ACQUIRED_BEFORE(pool_mutex_);
  std::unique_ptr<sql::Connection> writer_ ABSL_GUARDED_BY(writer_mutex_);

  absl::Mutex watcher_mutex_;
  std::unique_ptr<sql::AppendWatcher> watcher_ ABSL_GUARDED_BY(watcher_mutex_);
};

}  // namespace alcove::store
