#include "libs/store/store.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/common/status.h"
#include "libs/store/audit_store.h"
#include "libs/store/backup_store.h"
#include "libs/store/collection_store.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/migrations.h"
#include "libs/store/key_store.h"
#include "libs/store/log_store.h"
#include "libs/store/sql/postgres_driver.h"
#include "libs/store/sql/sqlite_driver.h"

namespace alcove::store {

std::string ToString(const ShardAddress& address) {
  return absl::StrCat("collection ", address.collection_id, " epoch ", address.epoch, " shard ", address.shard);
}

namespace {

class SqlStore final : public Store {
 public:
  SqlStore(std::unique_ptr<sql::Driver> driver, const StoreOptions& options)
      : db_(std::move(driver), options), collections_(&db_), log_(&db_), keys_(&db_), audit_(&db_), backups_(&db_) {}

  CollectionStore& collections() override { return collections_; }
  LogStore& log() override { return log_; }
  KeyStore& keys() override { return keys_; }
  AuditStore& audit() override { return audit_; }
  BackupStore& backups() override { return backups_; }
  Engine engine() const override { return db_.engine(); }
  std::string location() const override { return db_.location(); }

  absl::Status Ping() override {
    return db_.Read(
        [](sql::Connection& c) { return c.Query("SELECT 1", {}, [](const sql::Row&) { return absl::OkStatus(); }); });
  }

  absl::Status Migrate() {
    return db_.Write([this](sql::Connection& c) {
      return internal::Migrate(c, db_.engine(), internal::Migrations(), db_.NowMicros());
    });
  }

 private:
  Database db_;
  CollectionStore collections_;
  LogStore log_;
  KeyStore keys_;
  AuditStore audit_;
  BackupStore backups_;
};

absl::StatusOr<std::unique_ptr<sql::Driver>> OpenDriver(absl::string_view url, const StoreOptions& options) {
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, "sqlite:")) {
    if (absl::StartsWith(rest, "//") && !absl::StartsWith(rest, "///")) {
      return absl::InvalidArgumentError(
          absl::StrCat("store url \"", url, "\": write sqlite:/absolute/path.db or sqlite:relative/path.db"));
    }
    if (absl::StartsWith(rest, "///")) rest.remove_prefix(2);
    return sql::OpenSqlite(rest, options);
  }
  if (absl::StartsWith(url, "postgresql://") || absl::StartsWith(url, "postgres://") ||
      (absl::StrContains(url, '=') && !absl::StrContains(url, "://"))) {
    return sql::OpenPostgres(url, options);
  }
  return absl::InvalidArgumentError(absl::StrCat("store url \"", sql::RedactUrl(url),
                                                 "\": expected sqlite:<file>, postgresql://… or host=… dbname=…"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Open(absl::string_view url, const StoreOptions& options) {
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<sql::Driver> driver, OpenDriver(url, options));
  auto store = std::make_unique<SqlStore>(std::move(driver), options);
  ALCOVE_RETURN_IF_ERROR(Annotate(store->Migrate(), store->location()));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace alcove::store
