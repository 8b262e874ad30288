#include "libs/store/internal/migrations.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/common/hash.h"
#include "libs/common/status.h"

namespace alcove::store::internal {
namespace {

using sql::Int;
using sql::Row;
using sql::Text;

// Times are microseconds since 1970 UTC; 0 means absent. `position` is stream_id * 2^40 + sequence: one integer key
// keeps a shard's records together and in order.
constexpr Migration kMigrations[] = {
    {1, "catalog and log", R"sql(
CREATE TABLE counters (
  name {TEXT} NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('catalog', 1), ('keys', 1);

CREATE TABLE collections (
  id {ID},
  tenant {TEXT} NOT NULL,
  name {TEXT} NOT NULL,
  config {BLOB} NOT NULL,
  config_revision BIGINT NOT NULL,
  shard_count BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  next_shard_count BIGINT NOT NULL,
  next_epoch BIGINT NOT NULL,
  state BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX collections_by_name ON collections (tenant, name) WHERE state = 1;

CREATE TABLE log_streams (
  stream_id {ID},
  collection_id BIGINT NOT NULL REFERENCES collections (id),
  epoch BIGINT NOT NULL,
  shard BIGINT NOT NULL,
  head_sequence BIGINT NOT NULL,
  base_sequence BIGINT NOT NULL,
  tombstone_floor BIGINT NOT NULL
);
CREATE UNIQUE INDEX log_streams_by_address ON log_streams (collection_id, epoch, shard);

CREATE TABLE log_tail (
  position {KEY},
  size BIGINT NOT NULL,
  chunk {BLOB} NOT NULL
);

CREATE TABLE log_base (
  position {KEY},
  stream_id BIGINT NOT NULL,
  record_key {BLOB} NOT NULL,
  kind BIGINT NOT NULL,
  size BIGINT NOT NULL,
  checksum BIGINT NOT NULL,
  data {BLOB} NOT NULL
);
CREATE UNIQUE INDEX log_base_by_key ON log_base (stream_id, record_key);

CREATE TABLE log_requests (
  collection_id BIGINT NOT NULL,
  request_key {TEXT} NOT NULL,
  fingerprint {BLOB} NOT NULL,
  result {BLOB} NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (collection_id, request_key)
);
CREATE INDEX log_requests_by_age ON log_requests (created_at);
)sql"},
    {2, "tenants, keys and audit", R"sql(
CREATE TABLE tenants (
  id {TEXT} NOT NULL PRIMARY KEY,
  display_name {TEXT} NOT NULL,
  disabled BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
  id {TEXT} NOT NULL PRIMARY KEY,
  tenant {TEXT} NOT NULL REFERENCES tenants (id),
  name {TEXT} NOT NULL,
  hash {BLOB} NOT NULL,
  scopes {TEXT} NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (hash);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);

CREATE TABLE audit_events (
  id {ID},
  time BIGINT NOT NULL,
  tenant {TEXT} NOT NULL,
  actor {TEXT} NOT NULL,
  action {TEXT} NOT NULL,
  resource {TEXT} NOT NULL,
  outcome {TEXT} NOT NULL,
  request_id {TEXT} NOT NULL,
  detail {TEXT} NOT NULL
);
CREATE INDEX audit_events_by_tenant ON audit_events (tenant, id);
CREATE INDEX audit_events_by_time ON audit_events (time);
)sql"},
    {3, "aliases, log readers and resharding", R"sql(
CREATE TABLE collection_aliases (
  tenant {TEXT} NOT NULL,
  name {TEXT} NOT NULL,
  collection_id BIGINT NOT NULL REFERENCES collections (id),
  PRIMARY KEY (tenant, name)
);
CREATE INDEX collection_aliases_by_collection ON collection_aliases (collection_id);

CREATE TABLE log_readers (
  stream_id BIGINT NOT NULL,
  reader {TEXT} NOT NULL,
  sequence BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (stream_id, reader)
);

CREATE TABLE log_copies (
  collection_id BIGINT NOT NULL,
  shard BIGINT NOT NULL,
  copied_sequence BIGINT NOT NULL,
  PRIMARY KEY (collection_id, shard)
);

ALTER TABLE collections ADD COLUMN floors {TEXT} NOT NULL DEFAULT '';
)sql"},
};

std::string Checksum(absl::string_view sql) { return absl::StrFormat("%016x", Hash64(sql)); }

}  // namespace

absl::Span<const Migration> Migrations() { return kMigrations; }

absl::Status Migrate(sql::Connection& connection, Engine engine, absl::Span<const Migration> migrations,
                     int64_t now_us) {
  if (engine == Engine::kPostgres) {
    // Released with the transaction. The number is only a name other Alcove processes agree on.
    ALCOVE_RETURN_IF_ERROR(connection.Query("SELECT 1 FROM (SELECT pg_advisory_xact_lock(7021853400151)) AS locked", {},
                                            [](const Row&) { return absl::OkStatus(); }));
  }
  ALCOVE_RETURN_IF_ERROR(
      connection.ExecuteScript("CREATE TABLE IF NOT EXISTS schema_migrations (version {KEY}, name {TEXT} NOT NULL, "
                               "checksum {TEXT} NOT NULL, applied_at BIGINT NOT NULL)"));
  std::map<int64_t, std::string> applied;
  ALCOVE_RETURN_IF_ERROR(
      connection.Query("SELECT version, checksum FROM schema_migrations ORDER BY version", {}, [&](const Row& row) {
        applied[row.Int(0)] = row.Text(1);
        return absl::OkStatus();
      }));
  const int64_t newest_known = migrations.empty() ? 0 : migrations.back().version;
  if (!applied.empty() && applied.rbegin()->first > newest_known) {
    return absl::FailedPreconditionError(absl::StrCat("the database's schema is version ", applied.rbegin()->first,
                                                      ", written by a newer Alcove; this one knows up to version ",
                                                      newest_known,
                                                      ": run the newer release, or restore a backup made by this one"));
  }
  for (const Migration& migration : migrations) {
    const std::string checksum = Checksum(migration.sql);
    if (auto it = applied.find(migration.version); it != applied.end()) {
      if (it->second == checksum) continue;
      return absl::FailedPreconditionError(absl::StrCat("schema migration ", migration.version, " (", migration.name,
                                                        ") was applied from another text (checksum ", it->second,
                                                        ", expected ", checksum, ")"));
    }
    ALCOVE_RETURN_IF_ERROR(
        Annotate(connection.ExecuteScript(migration.sql), absl::StrCat("schema migration ", migration.version)));
    ALCOVE_RETURN_IF_ERROR(
        connection
            .Execute("INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                     {Int(migration.version), Text(migration.name), Text(checksum), Int(now_us)})
            .status());
  }
  return absl::OkStatus();
}

}  // namespace alcove::store::internal
