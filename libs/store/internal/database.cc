#include "libs/store/internal/database.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"

namespace alcove::store {
namespace {

constexpr int kMaxAttempts = 8;

}  // namespace

Database::Database(std::unique_ptr<sql::Driver> driver, const StoreOptions& options)
    : driver_(std::move(driver)),
      options_(options),
      clock_(options.clock == nullptr ? RealClock() : options.clock),
      changes_(clock_) {}

Database::~Database() {
  // The watcher's thread calls into changes_: it must end first.
  absl::MutexLock lock(&watcher_mutex_);
  watcher_.reset();
}

absl::Status Database::Read(Work work) {
  return WithRetry([&] { return Pooled(sql::TransactionMode::kRead, work); });
}

absl::Status Database::Write(Work work) {
  return WithRetry(
      [&] { return driver_->single_writer() ? SingleWriter(work) : Pooled(sql::TransactionMode::kWrite, work); });
}

absl::Status Database::PollAppends() {
  absl::MutexLock lock(&watcher_mutex_);
  if (watcher_ == nullptr) {
    ALCOVE_ASSIGN_OR_RETURN(watcher_, driver_->WatchAppends([this] { changes_.Changed(); }));
  }
  ALCOVE_ASSIGN_OR_RETURN(const bool changed, watcher_->Changed());
  // Through the hub, so that every waiter learns what one of them has found out.
  if (changed) changes_.Changed();
  return absl::OkStatus();
}

// Conflicts are between transactions that each last milliseconds: short pauses in real time, whatever clock the
// store's users see.
absl::Status Database::WithRetry(absl::FunctionRef<absl::Status()> attempt) {
  absl::Duration pause = absl::Milliseconds(1);
  for (int tries = 1;; ++tries) {
    absl::Status status = attempt();
    if (status.ok() || !sql::IsRetryable(status)) return status;
    if (tries == kMaxAttempts) {
      if (!absl::IsAborted(status)) return sql::ClearRetryable(status);
      return absl::UnavailableError(
          absl::StrCat("gave up after ", tries, " conflicting transactions: ", status.message()));
    }
    absl::SleepFor(pause);
    pause *= 2;
  }
}

absl::Status Database::RunOnce(sql::TransactionMode mode, sql::Connection& connection, Work work) {
  ALCOVE_RETURN_IF_ERROR(connection.Begin(mode));
  absl::Status status = work(connection);
  if (status.ok()) status = connection.Commit();
  if (!status.ok()) connection.Rollback();
  return status;
}

absl::Status Database::Pooled(sql::TransactionMode mode, Work work) {
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<sql::Connection> connection, Borrow());
  absl::Status status = RunOnce(mode, *connection, work);
  GiveBack(std::move(connection));
  return status;
}

absl::Status Database::SingleWriter(Work work) {
  absl::MutexLock lock(&writer_mutex_);
  if (writer_ == nullptr) {
    ALCOVE_ASSIGN_OR_RETURN(writer_, driver_->Connect());
  }
  ALCOVE_RETURN_IF_ERROR(driver_->AcquireWriterTurn());
  absl::Status status = RunOnce(sql::TransactionMode::kWrite, *writer_, work);
  driver_->ReleaseWriterTurn();
  return status;
}

absl::StatusOr<std::unique_ptr<sql::Connection>> Database::Borrow() {
  const int limit = std::max(1, std::clamp(options_.connections, 2, 64) - (driver_->single_writer() ? 1 : 0));
  {
    absl::MutexLock lock(&pool_mutex_);
    auto available = [this, limit]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(pool_mutex_) { return !idle_.empty() || open_ < limit; };
    if (!pool_mutex_.AwaitWithTimeout(absl::Condition(&available), options_.busy_timeout)) {
      return absl::UnavailableError(absl::StrCat(driver_->location(), ": all ", limit,
                                                 " database connections stayed busy for ",
                                                 absl::FormatDuration(options_.busy_timeout)));
    }
    if (!idle_.empty()) {
      std::unique_ptr<sql::Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    ++open_;
  }
  absl::StatusOr<std::unique_ptr<sql::Connection>> connection = driver_->Connect();
  if (!connection.ok()) {
    absl::MutexLock lock(&pool_mutex_);
    --open_;
  }
  return connection;
}

void Database::GiveBack(std::unique_ptr<sql::Connection> connection) {
  const bool keep = connection->healthy();
  if (!keep) connection.reset();
  absl::MutexLock lock(&pool_mutex_);
  if (keep) {
    idle_.push_back(std::move(connection));
    return;
  }
  // One lost connection usually means all are: the idle ones would fail one after the other.
  --open_;
  open_ -= static_cast<int>(idle_.size());
  idle_.clear();
}

}  // namespace alcove::store
