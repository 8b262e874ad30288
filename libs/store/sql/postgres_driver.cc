#include "libs/store/sql/postgres_driver.h"

#include <cerrno>
#include <cstdint>
#include <functional>
#include <pqxx/binarystring>
#include <pqxx/connection>
#include <pqxx/errorhandler>
#include <pqxx/notification>
#include <pqxx/prepared_statement>
#include <pqxx/result>
#include <pqxx/transaction>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/store/sql/postgres_status.h"

namespace alcove::store::sql {
namespace {

// Channel every append notifies; the payload is empty, because whoever wakes reads the heads anyway.
constexpr char kChannel[] = "alcove_log";

int HexDigit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

// bytea in the server's "hex" output: \x followed by two digits a byte.
std::string DecodeBytea(const char* text, size_t size) {
  if (size < 2 || text[0] != '\\' || text[1] != 'x') return std::string(text, size);
  std::string out((size - 2) / 2, '\0');
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>(HexDigit(text[2 + 2 * i]) << 4 | HexDigit(text[3 + 2 * i]));
  }
  return out;
}

// Parameters travel in PostgreSQL's binary format: big-endian integers, raw bytes for texts and blobs. Every integer
// column and cast of the schema is a BIGINT.
pqxx::binarystring ToBinary(const Value& value) {
  if (value.type() == Value::Type::kInteger) {
    unsigned char bytes[8];
    uint64_t v = static_cast<uint64_t>(value.integer());
    for (int i = 7; i >= 0; --i, v >>= 8) bytes[i] = static_cast<unsigned char>(v);
    return pqxx::binarystring(bytes, sizeof(bytes));
  }
  return pqxx::binarystring(value.bytes().empty() ? "" : value.bytes().data(), value.bytes().size());
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
// A connection restored behind our back would have lost its settings and its place in a transaction.
void KeepBrokenConnectionsBroken(pqxx::connection& connection) { connection.inhibit_reactivation(true); }
#pragma GCC diagnostic pop

class PostgresRow final : public Row {
 public:
  explicit PostgresRow(const pqxx::row& row) : row_(row) {}
  int64_t Int(int column) const override { return row_[column].as<int64_t>(); }
  std::string Text(int column) const override {
    const pqxx::field field = row_[column];
    return std::string(field.c_str(), field.size());
  }
  std::string Blob(int column) const override {
    const pqxx::field field = row_[column];
    return DecodeBytea(field.c_str(), field.size());
  }

 private:
  const pqxx::row& row_;
};

class PostgresConnection final : public Connection {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const std::string& url, std::string location,
                                                                  const StoreOptions& options) {
    bool broken = false;
    std::unique_ptr<PostgresConnection> connection;
    ALCOVE_RETURN_IF_ERROR(Guard(location, &broken, [&] {
      connection.reset(new PostgresConnection(url, location));
      pqxx::connection& c = connection->connection_;
      KeepBrokenConnectionsBroken(c);
      pqxx::transaction<> setup(c);
      setup.exec(
          absl::StrCat("SET SESSION lock_timeout = ", absl::ToInt64Milliseconds(options.busy_timeout),
                       "; SET SESSION bytea_output = 'hex'; SET SESSION client_min_messages = 'warning'",
                       "; SET SESSION client_encoding = 'UTF8'",
                       options.durability == Durability::kNormal ? "; SET SESSION synchronous_commit = off" : ""));
      setup.commit();
      return absl::OkStatus();
    }));
    return connection;
  }

  ~PostgresConnection() override { Rollback(); }

  absl::Status Begin(TransactionMode mode) override {
    return Call([&] {
      if (mode == TransactionMode::kWrite) {
        transaction_ = std::make_unique<pqxx::transaction<pqxx::read_committed>>(connection_);
      } else {
        transaction_ = std::make_unique<pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>>(connection_);
      }
      return absl::OkStatus();
    });
  }

  absl::Status Commit() override {
    absl::Status status = Call([&] {
      transaction_->commit();
      return absl::OkStatus();
    });
    transaction_.reset();
    return status;
  }

  void Rollback() override {
    if (transaction_ == nullptr) return;
    // The destructor rolls back what was not committed and does not throw.
    transaction_.reset();
  }

  absl::Status Query(const char* text, absl::Span<const Value> args, RowCallback on_row) override {
    return Call([&]() -> absl::Status {
      const pqxx::result result = Exec(text, args);
      for (const pqxx::row& row : result) ALCOVE_RETURN_IF_ERROR(on_row(PostgresRow(row)));
      return absl::OkStatus();
    });
  }

  absl::StatusOr<int64_t> Execute(const char* text, absl::Span<const Value> args) override {
    int64_t changed = 0;
    ALCOVE_RETURN_IF_ERROR(Call([&] {
      changed = static_cast<int64_t>(Exec(text, args).affected_rows());
      return absl::OkStatus();
    }));
    return changed;
  }

  absl::Status ExecuteScript(absl::string_view script) override {
    return Call([&] {
      transaction_->exec(Translate(Engine::kPostgres, script));
      return absl::OkStatus();
    });
  }

  bool healthy() const override { return !broken_; }

  pqxx::connection& raw() { return connection_; }

 private:
  PostgresConnection(const std::string& url, std::string location)
      : location_(std::move(location)), connection_(url), quiet_(connection_) {}

  template <typename Body>
  absl::Status Call(Body&& body) {
    return Guard(location_, &broken_, std::forward<Body>(body));
  }

  pqxx::result Exec(const char* text, absl::Span<const Value> args) {
    std::string& name = prepared_[text];
    if (name.empty()) {
      name = absl::StrCat("s", prepared_.size());
      connection_.prepare(name, Translate(Engine::kPostgres, text));
    }
    std::vector<pqxx::binarystring> params;
    params.reserve(args.size());
    for (const Value& value : args) params.push_back(ToBinary(value));
    return transaction_->exec_prepared(name, pqxx::prepare::make_dynamic_params(params));
  }

  const std::string location_;
  pqxx::connection connection_;
  pqxx::quiet_errorhandler quiet_;
  std::unique_ptr<pqxx::transaction_base> transaction_;
  absl::flat_hash_map<const char*, std::string> prepared_;
  bool broken_ = false;
};

// Listens on a connection of its own and calls back; connects again when the server went away.
class NotificationWatcher final : public AppendWatcher {
 public:
  // `stop_fd`: an eventfd, owned from here on.
  NotificationWatcher(std::string url, std::string location, const StoreOptions& options,
                      std::function<void()> on_change, int stop_fd)
      : url_(std::move(url)),
        location_(std::move(location)),
        options_(options),
        on_change_(std::move(on_change)),
        stop_fd_(stop_fd),
        thread_([this] { Run(); }) {}

  ~NotificationWatcher() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_fd_, &one, sizeof(one));
    thread_.join();
    ::close(stop_fd_);
  }

  // What there is to tell was told by the callback.
  absl::StatusOr<bool> Changed() override { return false; }

 private:
  class Receiver final : public pqxx::notification_receiver {
   public:
    Receiver(pqxx::connection_base& connection, const std::function<void()>& on_change)
        : pqxx::notification_receiver(connection, kChannel), on_change_(on_change) {}
    void operator()(const std::string&, int) override { on_change_(); }

   private:
    const std::function<void()>& on_change_;
  };

  // True when asked to stop.
  bool WaitFor(int fd, absl::Duration timeout) {
    pollfd fds[2] = {{stop_fd_, POLLIN, 0}, {fd, POLLIN, 0}};
    ::poll(fds, fd >= 0 ? 2 : 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
    return fds[0].revents != 0;
  }

  void Run() {
    bool warned = false;
    while (true) {
      const absl::Status status = Listen();
      if (status.ok()) return;
      if (!warned) LogWarning("not listening for appends; polling instead", {{"error", status}});
      warned = true;
      if (WaitFor(-1, absl::Seconds(1))) return;
    }
  }

  absl::Status Listen() {
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<PostgresConnection> connection,
                            PostgresConnection::Open(url_, location_, options_));
    bool broken = false;
    return Guard(location_, &broken, [&]() -> absl::Status {
      pqxx::connection& raw = connection->raw();
      Receiver receiver(raw, on_change_);
      on_change_();  // whatever was appended before listening began
      while (true) {
        if (WaitFor(raw.sock(), absl::Seconds(30))) return absl::OkStatus();
        raw.get_notifs();
        if (!raw.is_open()) return absl::UnavailableError(absl::StrCat(location_, ": the connection was closed"));
      }
    });
  }

  const std::string url_;
  const std::string location_;
  const StoreOptions options_;
  const std::function<void()> on_change_;
  const int stop_fd_;
  std::thread thread_;
};

class PostgresDriver final : public Driver {
 public:
  PostgresDriver(std::string url, std::string location, const StoreOptions& options)
      : url_(std::move(url)), location_(std::move(location)), options_(options) {}

  Engine engine() const override { return Engine::kPostgres; }
  std::string location() const override { return location_; }
  bool single_writer() const override { return false; }
  absl::Duration poll_interval() const override { return options_.postgres_poll_interval; }

  absl::StatusOr<std::unique_ptr<Connection>> Connect() override {
    ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<PostgresConnection> connection,
                            PostgresConnection::Open(url_, location_, options_));
    return std::unique_ptr<Connection>(std::move(connection));
  }

  absl::StatusOr<std::unique_ptr<AppendWatcher>> WatchAppends(std::function<void()> on_change) override {
    const int stop_fd = ::eventfd(0, EFD_CLOEXEC);
    if (stop_fd < 0) return ErrnoStatus(errno, "eventfd");
    return std::unique_ptr<AppendWatcher>(
        std::make_unique<NotificationWatcher>(url_, location_, options_, std::move(on_change), stop_fd));
  }

 private:
  const std::string url_;
  const std::string location_;
  const StoreOptions options_;
};

// Adds a parameter unless the url names it already.
void AddParameter(std::string* url, absl::string_view name, absl::string_view value) {
  if (absl::StrContains(*url, absl::StrCat(name, "="))) return;
  if (!absl::StrContains(*url, "://")) {
    absl::StrAppend(url, " ", name, "=", value);
  } else {
    absl::StrAppend(url, absl::StrContains(*url, '?') ? "&" : "?", name, "=", value);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> OpenPostgres(absl::string_view url_view, const StoreOptions& options) {
  std::string url(url_view);
  const int64_t seconds = std::max<int64_t>(1, absl::ToInt64Seconds(options.connect_timeout));
  AddParameter(&url, "connect_timeout", absl::StrCat(seconds));
  AddParameter(&url, "application_name", "alcove");
  auto driver = std::make_unique<PostgresDriver>(url, RedactUrl(url_view), options);
  ALCOVE_RETURN_IF_ERROR(ClearRetryable(driver->Connect().status()));
  return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace alcove::store::sql
