#pragma once

// Tenants and their API keys. A key's secret is never stored: only its SHA-256 or HMAC, computed by the caller.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/store/types.h"

namespace alcove::store {

class Database;

struct Tenant {
  std::string id;  // 1..255 bytes, chosen by the operator ("default", "acme")
  std::string display_name;
  bool disabled = false;
  absl::Time created_at;
};

struct TenantPage {
  std::vector<Tenant> tenants;
  std::string next_page_token;
};

struct ApiKey {
  std::string id;  // public part, unique: shown in listings and audit events
  std::string tenant;
  std::string name;                 // what the owner calls it
  std::string hash;                 // 16..64 raw bytes, unique
  std::vector<std::string> scopes;  // each without spaces or control characters
  absl::Time created_at;            // set by the store
  std::optional<absl::Time> expires_at;
  std::optional<absl::Time> revoked_at;
  std::optional<absl::Time> last_used_at;

  // Neither revoked nor expired. Whether the tenant is disabled is not looked at.
  bool UsableAt(absl::Time now) const;
};

struct ApiKeyPage {
  std::vector<ApiKey> keys;
  std::string next_page_token;
};

// Thread-safe.
class KeyStore {
 public:
  explicit KeyStore(Database* db) : db_(db) {}
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;

  // ALREADY_EXISTS when the id is taken.
  absl::StatusOr<Tenant> CreateTenant(absl::string_view id, absl::string_view display_name);
  absl::StatusOr<Tenant> GetTenant(absl::string_view id);
  absl::Status SetTenantDisabled(absl::string_view id, bool disabled);
  absl::StatusOr<TenantPage> ListTenants(const PageRequest& page = {});

  // Stores a key; created_at is filled in, revoked_at and last_used_at are ignored. NOT_FOUND: the tenant does not
  // exist. ALREADY_EXISTS: id or hash is taken.
  absl::StatusOr<ApiKey> CreateKey(ApiKey key);
  // Keys of one tenant ordered by id, revoked and expired ones included.
  absl::StatusOr<ApiKeyPage> ListKeys(absl::string_view tenant, const PageRequest& page = {});
  absl::StatusOr<ApiKey> GetKey(absl::string_view id);
  // Looks a key up by its hash, whatever its state; NOT_FOUND otherwise. One indexed read.
  absl::StatusOr<ApiKey> FindByHash(absl::string_view hash);
  // Idempotent: revoking twice keeps the first time. With `tenant`, a key of another tenant is NOT_FOUND.
  absl::StatusOr<ApiKey> RevokeKey(absl::string_view id, std::optional<absl::string_view> tenant = std::nullopt);
  // Records uses, keeping the later time of each key; meant to be called now and then with what was gathered.
  absl::Status TouchKeys(absl::Span<const std::pair<std::string, absl::Time>> uses);

  // Grows with every change of tenants or keys (not with TouchKeys): lets a gateway drop its cached keys.
  absl::StatusOr<int64_t> Version();

 private:
  Database* const db_;
};

}  // namespace alcove::store
