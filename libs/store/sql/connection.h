#pragma once

// The thin layer between the repositories and an engine: prepared statements, transactions, status codes.
//
// SQL is written once, in the subset both engines share, with $1, $2 … for parameters. Where they differ a token in
// braces stands for the engine's own words (see Translate). There are no NULLs: absent times are 0, absent texts "".

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/store/store.h"

namespace alcove::store::sql {

// A parameter. Texts and blobs are views: they must live until the statement has run.
class Value {
 public:
  enum class Type { kInteger, kText, kBlob };

  static Value Integer(int64_t v) { return Value(Type::kInteger, v, {}); }
  static Value Text(absl::string_view v) { return Value(Type::kText, 0, v); }
  static Value Blob(absl::string_view v) { return Value(Type::kBlob, 0, v); }

  Type type() const { return type_; }
  int64_t integer() const { return integer_; }
  absl::string_view bytes() const { return bytes_; }

 private:
  Value(Type type, int64_t integer, absl::string_view bytes) : type_(type), integer_(integer), bytes_(bytes) {}
  Type type_;
  int64_t integer_;
  absl::string_view bytes_;
};

inline Value Int(int64_t v) { return Value::Integer(v); }
inline Value Text(absl::string_view v) { return Value::Text(v); }
inline Value Blob(absl::string_view v) { return Value::Blob(v); }

// One row of a result; valid only inside the callback that receives it. Columns count from 0.
class Row {
 public:
  virtual ~Row() = default;
  virtual int64_t Int(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Blob(int column) const = 0;
};

enum class TransactionMode {
  kRead,   // one snapshot for all its statements
  kWrite,  // SQLite: the only writer of the file; PostgreSQL: READ COMMITTED, rows locked by {FOR UPDATE}
};

using RowCallback = absl::FunctionRef<absl::Status(const Row&)>;

// One database connection, used by one thread at a time. Statement texts must be string literals: their addresses
// are the keys of the cache of prepared statements.
//
// After any error inside a transaction the only useful call is Rollback.
class Connection {
 public:
  virtual ~Connection() = default;

  virtual absl::Status Begin(TransactionMode mode) = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  // Runs a statement and calls `on_row` for each row of its result. A status other than OK from the callback ends it.
  virtual absl::Status Query(const char* statement, absl::Span<const Value> args, RowCallback on_row) = 0;
  // Runs a statement without result; returns the number of rows it changed.
  virtual absl::StatusOr<int64_t> Execute(const char* statement, absl::Span<const Value> args) = 0;
  // Runs several statements separated by ';', for migrations. The text is translated but not cached.
  virtual absl::Status ExecuteScript(absl::string_view script) = 0;

  // False once the connection can not be used again.
  virtual bool healthy() const = 0;

  absl::Status Query(const char* statement, std::initializer_list<Value> args, RowCallback on_row) {
    return Query(statement, absl::MakeConstSpan(args.begin(), args.size()), on_row);
  }
  absl::StatusOr<int64_t> Execute(const char* statement, std::initializer_list<Value> args) {
    return Execute(statement, absl::MakeConstSpan(args.begin(), args.size()));
  }
};

// Tells when the log may have been appended to by another process.
class AppendWatcher {
 public:
  virtual ~AppendWatcher() = default;
  // Whether something was committed since the last call. Cheap. Thread-safe.
  virtual absl::StatusOr<bool> Changed() = 0;
};

// An engine at a certain place. Thread-safe.
class Driver {
 public:
  virtual ~Driver() = default;

  virtual Engine engine() const = 0;
  virtual std::string location() const = 0;
  virtual absl::StatusOr<std::unique_ptr<Connection>> Connect() = 0;

  // Excludes writers of other processes where the engine itself would not queue them fairly. Held around each write
  // transaction; at most one thread of the process asks at a time.
  virtual absl::Status AcquireWriterTurn() { return absl::OkStatus(); }
  virtual void ReleaseWriterTurn() {}
  // True: all writes of this process go through one connection.
  virtual bool single_writer() const = 0;

  // `on_change` is called from any thread when the engine reports an append by itself; engines that can not do so
  // answer Changed() instead.
  virtual absl::StatusOr<std::unique_ptr<AppendWatcher>> WatchAppends(std::function<void()> on_change) = 0;
  // How long a waiter may sleep before it asks Changed().
  virtual absl::Duration poll_interval() const = 0;
};

// Replaces {BLOB} {TEXT} {KEY} {ID} {FOR UPDATE} {FOR SHARE} by the engine's words.
std::string Translate(Engine engine, absl::string_view sql);

// An error after which the whole transaction may simply be run again: nothing of it was committed.
absl::Status MarkRetryable(absl::Status status);
absl::Status ClearRetryable(absl::Status status);
bool IsRetryable(const absl::Status& status);

// `url` without password, for messages.
std::string RedactUrl(absl::string_view url);

}  // namespace alcove::store::sql
