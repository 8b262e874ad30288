#include "libs/store/sql/sqlite_driver.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <sqlite3.h>
#include <sys/stat.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "libs/common/status.h"
#include "libs/store/sql/writer_turnstile.h"

namespace alcove::store::sql {
namespace {

// Marks the file as ours, so that another program's database is refused rather than migrated. "Alcv" in ASCII.
constexpr int64_t kApplicationId = 0x416c6376;
constexpr int kPageBytes = 8192;
// A checkpoint copies the write-ahead log into the file with two fsyncs: rarer is cheaper, at the cost of disk space.
constexpr int kCheckpointPages = (32 << 20) / kPageBytes;
// A passive checkpoint gives way to readers: with readers at every moment the log would only grow. Past this it waits
// for them to finish (they take milliseconds) and starts the log again from its beginning.
constexpr int kRestartPages = 8 * kCheckpointPages;
constexpr int64_t kWalBytesKept = 128 << 20;

absl::Status StatusFromSqlite(int code, int system_errno, absl::string_view message, absl::string_view what) {
  const std::string text = absl::StrCat(what, ": ", message);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return absl::UnavailableError(absl::StrCat(text, " (another process holds it; try again)"));
    case SQLITE_FULL: return absl::ResourceExhaustedError(absl::StrCat(text, " (free disk space or raise the quota)"));
    case SQLITE_NOMEM: return absl::ResourceExhaustedError(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(absl::StrCat(text, " (restore the file from a backup)"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return absl::PermissionDeniedError(text);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      // SQLite names only ENOSPC as a full disk, and has often lost the errno of a quota or file size limit.
      if (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG ||
          (code == SQLITE_IOERR_WRITE && system_errno != EIO)) {
        return absl::ResourceExhaustedError(
            absl::StrCat(text, " (could not write: disk full, or over a quota or file size limit)"));
      }
      if (system_errno == EACCES || system_errno == EPERM || system_errno == EROFS) {
        return absl::PermissionDeniedError(text);
      }
      if (system_errno == ENOENT) return absl::NotFoundError(text);
      return absl::UnavailableError(absl::StrCat(text, " (errno ", system_errno, ")"));
    case SQLITE_CONSTRAINT: return absl::AlreadyExistsError(text);
    case SQLITE_TOOBIG: return absl::InvalidArgumentError(text);
    case SQLITE_INTERRUPT: return absl::CancelledError(text);
    default: return absl::InternalError(absl::StrCat(text, " (sqlite code ", code, ")"));
  }
}

class SqliteRow final : public Row {
 public:
  explicit SqliteRow(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const override { return Blob(column); }
  std::string Blob(int column) const override {
    const void* data = sqlite3_column_blob(statement_, column);
    const int bytes = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), bytes);
  }

 private:
  sqlite3_stmt* const statement_;
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(sqlite3* db, std::string path, absl::Duration busy_timeout)
      : db_(db), path_(std::move(path)), busy_timeout_(busy_timeout) {
    sqlite3_busy_handler(db_, &SqliteConnection::OnBusy, this);
    sqlite3_wal_hook(db_, &SqliteConnection::OnCommit, this);
  }

  ~SqliteConnection() override {
    for (auto& [text, prepared] : statements_) sqlite3_finalize(prepared.statement);
    sqlite3_close_v2(db_);
  }

  absl::Status Begin(TransactionMode mode) override {
    return Run(mode == TransactionMode::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
  }
  absl::Status Commit() override { return Run("COMMIT"); }
  void Rollback() override {
    // Some errors (disk full among them) have already rolled the transaction back.
    if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }

  absl::Status Query(const char* text, absl::Span<const Value> args, RowCallback on_row) override {
    ALCOVE_ASSIGN_OR_RETURN(sqlite3_stmt * statement, Bind(text, args));
    SqliteRow row(statement);
    absl::Status status;
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
      status = on_row(row);
      if (!status.ok()) break;
    }
    if (status.ok() && code != SQLITE_DONE) status = Error(code);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
  }

  absl::StatusOr<int64_t> Execute(const char* text, absl::Span<const Value> args) override {
    ALCOVE_RETURN_IF_ERROR(Query(text, args, [](const Row&) { return absl::OkStatus(); }));
    return sqlite3_changes64(db_);
  }

  absl::Status ExecuteScript(absl::string_view script) override {
    return Run(Translate(Engine::kSqlite, script).c_str());
  }

  bool healthy() const override { return true; }

  absl::Status Run(const char* text) {
    const int code = sqlite3_exec(db_, text, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? absl::OkStatus() : Error(code);
  }

  // The single value a pragma answers.
  absl::StatusOr<std::string> Pragma(const std::string& text) {
    std::string value;
    const int code = sqlite3_exec(
        db_, text.c_str(),
        [](void* out, int columns, char** values, char**) {
          if (columns > 0 && values[0] != nullptr) *static_cast<std::string*>(out) = values[0];
          return 0;
        },
        &value, nullptr);
    if (code != SQLITE_OK) return Error(code);
    return value;
  }

  sqlite3* db() { return db_; }

 private:
  struct Prepared {
    sqlite3_stmt* statement = nullptr;
    std::vector<int> index_of_parameter;  // of $1, $2 …
  };

  // SQLite's own handler sleeps up to 100 ms between tries, far longer than our transactions last.
  static int OnBusy(void* self, int tries) {
    auto* connection = static_cast<SqliteConnection*>(self);
    const absl::Time now = absl::Now();
    if (tries == 0) connection->busy_since_ = now;
    if (now - connection->busy_since_ >= connection->busy_timeout_) return 0;
    absl::SleepFor(std::min(absl::Microseconds(50) * (tries + 1), absl::Milliseconds(2)));
    return 1;
  }

  // The transaction is durable already: what a checkpoint can not do now, a later one does.
  static int OnCommit(void*, sqlite3* db, const char*, int pages) {
    if (pages >= kCheckpointPages) {
      const int mode = pages >= kRestartPages ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
      sqlite3_wal_checkpoint_v2(db, nullptr, mode, nullptr, nullptr);
    }
    return SQLITE_OK;
  }

  absl::Status Error(int code) const {
    return StatusFromSqlite(code, sqlite3_system_errno(db_), sqlite3_errmsg(db_), path_);
  }

  absl::StatusOr<sqlite3_stmt*> Bind(const char* text, absl::Span<const Value> args) {
    Prepared& prepared = statements_[text];
    if (prepared.statement == nullptr) {
      const std::string sql = Translate(Engine::kSqlite, text);
      const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                          &prepared.statement, nullptr);
      if (code != SQLITE_OK) return Error(code);
      for (int i = 1; i <= static_cast<int>(args.size()); ++i) {
        prepared.index_of_parameter.push_back(
            sqlite3_bind_parameter_index(prepared.statement, absl::StrCat("$", i).c_str()));
      }
    }
    for (size_t i = 0; i < args.size(); ++i) {
      const int index = prepared.index_of_parameter[i];
      const Value& value = args[i];
      int code = SQLITE_OK;
      switch (value.type()) {
        case Value::Type::kInteger: code = sqlite3_bind_int64(prepared.statement, index, value.integer()); break;
        case Value::Type::kText:
          // A null pointer would bind NULL; an empty view may hold one.
          code = sqlite3_bind_text64(prepared.statement, index, value.bytes().empty() ? "" : value.bytes().data(),
                                     value.bytes().size(), SQLITE_STATIC, SQLITE_UTF8);
          break;
        case Value::Type::kBlob:
          code = sqlite3_bind_blob64(prepared.statement, index, value.bytes().empty() ? "" : value.bytes().data(),
                                     value.bytes().size(), SQLITE_STATIC);
          break;
      }
      if (code != SQLITE_OK) return Error(code);
    }
    return prepared.statement;
  }

  sqlite3* const db_;
  const std::string path_;
  const absl::Duration busy_timeout_;
  absl::Time busy_since_;
  absl::flat_hash_map<const char*, Prepared> statements_;
};

// Every commit of another connection, of this process or not, changes PRAGMA data_version.
class DataVersionWatcher final : public AppendWatcher {
 public:
  explicit DataVersionWatcher(std::unique_ptr<SqliteConnection> connection) : connection_(std::move(connection)) {}

  absl::StatusOr<bool> Changed() override {
    absl::MutexLock lock(&mutex_);
    int64_t version = 0;
    ALCOVE_RETURN_IF_ERROR(connection_->Query("PRAGMA data_version", {}, [&](const Row& row) {
      version = row.Int(0);
      return absl::OkStatus();
    }));
    return std::exchange(last_, version) != version;
  }

 private:
  absl::Mutex mutex_;
  const std::unique_ptr<SqliteConnection> connection_ ABSL_PT_GUARDED_BY(mutex_);
  int64_t last_ ABSL_GUARDED_BY(mutex_) = -1;
};

class SqliteDriver final : public Driver {
 public:
  SqliteDriver(std::string path, const StoreOptions& options, std::unique_ptr<WriterTurnstile> turnstile)
      : path_(std::move(path)), options_(options), turnstile_(std::move(turnstile)) {}

  Engine engine() const override { return Engine::kSqlite; }
  std::string location() const override { return absl::StrCat("sqlite:", path_); }
  bool single_writer() const override { return true; }
  absl::Duration poll_interval() const override { return options_.sqlite_poll_interval; }
  absl::Status AcquireWriterTurn() override { return turnstile_->Acquire(options_.busy_timeout); }
  void ReleaseWriterTurn() override { turnstile_->Release(); }

  absl::StatusOr<std::unique_ptr<Connection>> Connect() override {
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection, ConnectSqlite());
    return std::unique_ptr<Connection>(std::move(connection));
  }

  absl::StatusOr<std::unique_ptr<AppendWatcher>> WatchAppends(std::function<void()>) override {
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection, ConnectSqlite());
    return std::unique_ptr<AppendWatcher>(std::make_unique<DataVersionWatcher>(std::move(connection)));
  }

  absl::StatusOr<std::unique_ptr<SqliteConnection>> ConnectSqlite() {
    sqlite3* db = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                      (options_.create_if_missing ? SQLITE_OPEN_CREATE : 0);
    const int code = sqlite3_open_v2(path_.c_str(), &db, flags, nullptr);
    if (code != SQLITE_OK) {
      absl::Status status =
          StatusFromSqlite(code, db == nullptr ? 0 : sqlite3_system_errno(db), sqlite3_errstr(code), path_);
      sqlite3_close_v2(db);
      return status;
    }
    auto connection = std::make_unique<SqliteConnection>(db, path_, options_.busy_timeout);
    ALCOVE_RETURN_IF_ERROR(Configure(*connection));
    return connection;
  }

 private:
  absl::Status Configure(SqliteConnection& connection) {
    if (sqlite3_db_readonly(connection.db(), "main") == 1) {
      return absl::PermissionDeniedError(absl::StrCat(path_, ": the file or its folder is read-only"));
    }
    // Takes effect only before the first table exists.
    ALCOVE_RETURN_IF_ERROR(connection.Pragma(absl::StrCat("PRAGMA page_size=", kPageBytes)).status());
    ALCOVE_ASSIGN_OR_RETURN(std::string mode, connection.Pragma("PRAGMA journal_mode=WAL"));
    if (mode != "wal") {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, ": the file system does not support write-ahead logging (journal mode ", mode, ")"));
    }
    const bool full = options_.durability == Durability::kFull;
    ALCOVE_RETURN_IF_ERROR(connection.Run(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    ALCOVE_RETURN_IF_ERROR(connection.Run("PRAGMA foreign_keys=ON"));
    ALCOVE_RETURN_IF_ERROR(connection.Run("PRAGMA temp_store=MEMORY"));
    ALCOVE_RETURN_IF_ERROR(connection.Run("PRAGMA cache_size=-16384"));
    ALCOVE_RETURN_IF_ERROR(connection.Run(absl::StrCat("PRAGMA journal_size_limit=", kWalBytesKept).c_str()));
    if (options_.sqlite_max_bytes > 0) {
      const int64_t pages = std::max<int64_t>(1, options_.sqlite_max_bytes / kPageBytes);
      ALCOVE_RETURN_IF_ERROR(connection.Run(absl::StrCat("PRAGMA max_page_count=", pages).c_str()));
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const StoreOptions options_;
  const std::unique_ptr<WriterTurnstile> turnstile_;
};

absl::Status CheckPath(const std::string& path, bool create_if_missing) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is a folder, not a file"));
    return absl::OkStatus();
  }
  if (errno != ENOENT) return ErrnoStatus(errno, path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (::stat(folder.c_str(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("database folder ", folder));
  if (!create_if_missing) return absl::NotFoundError(absl::StrCat(path, " does not exist"));
  return absl::OkStatus();
}

// Refuses a database some other program made; marks a new one as ours.
absl::Status ClaimFile(SqliteDriver& driver) {
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection, driver.ConnectSqlite());
  ALCOVE_ASSIGN_OR_RETURN(std::string id, connection->Pragma("PRAGMA application_id"));
  if (id == absl::StrCat(kApplicationId)) return absl::OkStatus();
  ALCOVE_ASSIGN_OR_RETURN(std::string tables, connection->Pragma("SELECT count(*) FROM sqlite_master"));
  if (id != "0" || tables != "0") {
    return absl::FailedPreconditionError(absl::StrCat(driver.location(), " is another program's database"));
  }
  return connection->Pragma(absl::StrCat("PRAGMA application_id=", kApplicationId)).status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> OpenSqlite(absl::string_view path_view, const StoreOptions& options) {
  const std::string path(path_view);
  if (path.empty()) return absl::InvalidArgumentError("sqlite: the path is empty; write sqlite:/folder/alcove.db");
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("sqlite: the path holds a NUL byte");
  ALCOVE_RETURN_IF_ERROR(CheckPath(path, options.create_if_missing));
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<WriterTurnstile> turnstile,
                          WriterTurnstile::Open(absl::StrCat(path, "-turn")));
  // Only one process at a time may be deciding whether the file is new.
  ALCOVE_RETURN_IF_ERROR(turnstile->Acquire(options.busy_timeout));
  auto driver = std::make_unique<SqliteDriver>(path, options, std::move(turnstile));
  const absl::Status claimed = ClaimFile(*driver);
  driver->ReleaseWriterTurn();
  ALCOVE_RETURN_IF_ERROR(claimed);
  return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace alcove::store::sql
