#include "libs/store/key_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/common/status.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/text.h"

namespace alcove::store {
namespace {

using internal::FromMicros;
using internal::ToMicros;
using sql::Blob;
using sql::Connection;
using sql::Int;
using sql::Row;
using sql::Text;

constexpr size_t kMaxScopes = 64;

#define ALCOVE_KEY_COLUMNS "id, tenant, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at"

std::optional<absl::Time> OptionalTime(int64_t us) {
  if (us == 0) return std::nullopt;
  return FromMicros(us);
}

ApiKey KeyFromRow(const Row& row) {
  ApiKey key;
  key.id = row.Text(0);
  key.tenant = row.Text(1);
  key.name = row.Text(2);
  key.hash = row.Blob(3);
  key.scopes = absl::StrSplit(row.Text(4), ' ', absl::SkipEmpty());
  key.created_at = FromMicros(row.Int(5));
  key.expires_at = OptionalTime(row.Int(6));
  key.revoked_at = OptionalTime(row.Int(7));
  key.last_used_at = OptionalTime(row.Int(8));
  return key;
}

Tenant TenantFromRow(const Row& row) { return {row.Text(0), row.Text(1), row.Int(2) != 0, FromMicros(row.Int(3))}; }

absl::Status BumpKeys(Connection& c) {
  return c.Execute("UPDATE counters SET value = value + 1 WHERE name = 'keys'", {}).status();
}

absl::Status CheckHash(absl::string_view hash) {
  if (hash.size() >= 16 && hash.size() <= 64) return absl::OkStatus();
  return InvalidField("hash", absl::StrCat("has ", hash.size(), " bytes; 16 to 64 are expected"));
}

absl::Status CheckKey(const ApiKey& key) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("id", key.id));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", key.tenant));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("name", key.name, 0));
  ALCOVE_RETURN_IF_ERROR(CheckHash(key.hash));
  if (key.scopes.size() > kMaxScopes) return InvalidField("scopes", absl::StrCat("more than ", kMaxScopes));
  for (size_t i = 0; i < key.scopes.size(); ++i) {
    const std::string field = absl::StrCat("scopes[", i, "]");
    ALCOVE_RETURN_IF_ERROR(internal::CheckName(field, key.scopes[i], 1, 128));
    if (key.scopes[i].find(' ') != std::string::npos) return InvalidField(field, "holds a space");
  }
  return absl::OkStatus();
}

// One key by a query with a single text or blob argument.
absl::StatusOr<std::optional<ApiKey>> FindOne(Connection& c, const char* statement, const sql::Value& argument) {
  std::optional<ApiKey> found;
  ALCOVE_RETURN_IF_ERROR(c.Query(statement, {argument}, [&](const Row& row) {
    found = KeyFromRow(row);
    return absl::OkStatus();
  }));
  return found;
}

}  // namespace

bool ApiKey::UsableAt(absl::Time now) const {
  return !revoked_at.has_value() && (!expires_at.has_value() || now < *expires_at);
}

absl::StatusOr<Tenant> KeyStore::CreateTenant(absl::string_view id, absl::string_view display_name) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", id));
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("display_name", display_name, 0));
  const Tenant tenant = {std::string(id), std::string(display_name), false, FromMicros(db_->NowMicros())};
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(
        const int64_t rows,
        c.Execute("INSERT INTO tenants (id, display_name, disabled, created_at) VALUES ($1, $2, 0, $3) "
                  "ON CONFLICT DO NOTHING",
                  {Text(id), Text(display_name), Int(ToMicros(tenant.created_at))}));
    if (rows == 0) return AlreadyExists("tenant", id);
    return BumpKeys(c);
  }));
  return tenant;
}

absl::StatusOr<Tenant> KeyStore::GetTenant(absl::string_view id) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", id));
  std::optional<Tenant> found;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    found.reset();
    return c.Query("SELECT id, display_name, disabled, created_at FROM tenants WHERE id = $1", {Text(id)},
                   [&](const Row& row) {
                     found = TenantFromRow(row);
                     return absl::OkStatus();
                   });
  }));
  if (!found) return NotFound("tenant", id);
  return *std::move(found);
}

absl::Status KeyStore::SetTenantDisabled(absl::string_view id, bool disabled) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", id));
  return db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const int64_t rows, c.Execute("UPDATE tenants SET disabled = $1 WHERE id = $2",
                                                          {Int(disabled ? 1 : 0), Text(id)}));
    if (rows == 0) return NotFound("tenant", id);
    return BumpKeys(c);
  });
}

absl::StatusOr<TenantPage> KeyStore::ListTenants(const PageRequest& page) {
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const std::string after, internal::ReadPageToken("tenants", page.page_token));
  TenantPage result;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    result.tenants.clear();
    return c.Query("SELECT id, display_name, disabled, created_at FROM tenants WHERE id > $1 ORDER BY id LIMIT $2",
                   {Text(after), Int(size + 1)}, [&](const Row& row) {
                     result.tenants.push_back(TenantFromRow(row));
                     return absl::OkStatus();
                   });
  }));
  if (static_cast<int64_t>(result.tenants.size()) > size) {
    result.tenants.resize(size);
    result.next_page_token = internal::MakePageToken("tenants", result.tenants.back().id);
  }
  return result;
}

absl::StatusOr<ApiKey> KeyStore::CreateKey(ApiKey key) {
  ALCOVE_RETURN_IF_ERROR(CheckKey(key));
  key.created_at = FromMicros(db_->NowMicros());
  key.revoked_at.reset();
  key.last_used_at.reset();
  const std::string scopes = absl::StrJoin(key.scopes, " ");
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    bool tenant_exists = false;
    ALCOVE_RETURN_IF_ERROR(
        c.Query("SELECT 1 FROM tenants WHERE id = $1 {FOR SHARE}", {Text(key.tenant)}, [&](const Row&) {
          tenant_exists = true;
          return absl::OkStatus();
        }));
    if (!tenant_exists) return NotFound("tenant", key.tenant);
    ALCOVE_ASSIGN_OR_RETURN(
        const int64_t rows,
        c.Execute("INSERT INTO api_keys (" ALCOVE_KEY_COLUMNS
                  ") VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) ON CONFLICT DO NOTHING",
                  {Text(key.id), Text(key.tenant), Text(key.name), Blob(key.hash), Text(scopes),
                   Int(ToMicros(key.created_at)), Int(key.expires_at ? ToMicros(*key.expires_at) : 0)}));
    if (rows == 0) return AlreadyExists("api key", key.id);
    return BumpKeys(c);
  }));
  return key;
}

absl::StatusOr<ApiKeyPage> KeyStore::ListKeys(absl::string_view tenant, const PageRequest& page) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("tenant", tenant));
  ALCOVE_ASSIGN_OR_RETURN(const int64_t size, internal::PageSize(page));
  ALCOVE_ASSIGN_OR_RETURN(const std::string after, internal::ReadPageToken("keys", page.page_token));
  ApiKeyPage result;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    result.keys.clear();
    return c.Query("SELECT " ALCOVE_KEY_COLUMNS " FROM api_keys WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3",
                   {Text(tenant), Text(after), Int(size + 1)}, [&](const Row& row) {
                     result.keys.push_back(KeyFromRow(row));
                     return absl::OkStatus();
                   });
  }));
  if (static_cast<int64_t>(result.keys.size()) > size) {
    result.keys.resize(size);
    result.next_page_token = internal::MakePageToken("keys", result.keys.back().id);
  }
  return result;
}

absl::StatusOr<ApiKey> KeyStore::GetKey(absl::string_view id) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("id", id));
  std::optional<ApiKey> found;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(found, FindOne(c, "SELECT " ALCOVE_KEY_COLUMNS " FROM api_keys WHERE id = $1", Text(id)));
    return absl::OkStatus();
  }));
  if (!found) return NotFound("api key", id);
  return *std::move(found);
}

absl::StatusOr<ApiKey> KeyStore::FindByHash(absl::string_view hash) {
  ALCOVE_RETURN_IF_ERROR(CheckHash(hash));
  std::optional<ApiKey> found;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(found,
                            FindOne(c, "SELECT " ALCOVE_KEY_COLUMNS " FROM api_keys WHERE hash = $1", Blob(hash)));
    return absl::OkStatus();
  }));
  if (!found) return absl::NotFoundError("no api key has this hash");
  return *std::move(found);
}

absl::StatusOr<ApiKey> KeyStore::RevokeKey(absl::string_view id, std::optional<absl::string_view> tenant) {
  ALCOVE_RETURN_IF_ERROR(internal::CheckName("id", id));
  std::optional<ApiKey> key;
  ALCOVE_RETURN_IF_ERROR(db_->Write([&](Connection& c) -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(
        key, FindOne(c, "SELECT " ALCOVE_KEY_COLUMNS " FROM api_keys WHERE id = $1 {FOR UPDATE}", Text(id)));
    if (!key || (tenant && key->tenant != *tenant)) return NotFound("api key", id);
    if (key->revoked_at) return absl::OkStatus();
    key->revoked_at = FromMicros(db_->NowMicros());
    ALCOVE_RETURN_IF_ERROR(
        c.Execute("UPDATE api_keys SET revoked_at = $1 WHERE id = $2", {Int(ToMicros(*key->revoked_at)), Text(id)})
            .status());
    return BumpKeys(c);
  }));
  return *std::move(key);
}

absl::Status KeyStore::TouchKeys(absl::Span<const std::pair<std::string, absl::Time>> uses) {
  if (uses.empty()) return absl::OkStatus();
  for (const auto& [id, time] : uses) ALCOVE_RETURN_IF_ERROR(internal::CheckName("id", id));
  // In one order everywhere, so that two processes touching the same keys can not wait for each other.
  std::vector<std::pair<absl::string_view, int64_t>> ordered;
  for (const auto& [id, time] : uses) ordered.emplace_back(id, ToMicros(time));
  std::sort(ordered.begin(), ordered.end());
  return db_->Write([&](Connection& c) -> absl::Status {
    for (const auto& [id, us] : ordered) {
      ALCOVE_RETURN_IF_ERROR(
          c.Execute("UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1", {Int(us), Text(id)})
              .status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int64_t> KeyStore::Version() {
  int64_t version = 0;
  ALCOVE_RETURN_IF_ERROR(db_->Read([&](Connection& c) {
    return c.Query("SELECT value FROM counters WHERE name = 'keys'", {}, [&](const Row& row) {
      version = row.Int(0);
      return absl::OkStatus();
    });
  }));
  return version;
}

}  // namespace alcove::store
