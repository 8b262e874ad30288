#include "services/gateway/access/bootstrap.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/common/fs.h"
#include "libs/common/hash.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/store/audit_store.h"
#include "libs/store/key_store.h"
#include "services/gateway/access/api_key.h"

namespace alcove::gateway {
namespace {

constexpr char kConfiguredName[] = "admin key of the configuration";
constexpr char kFirstName[] = "first admin key";

store::ApiKey AdminKey(std::string id, std::string_view secret, const char* name) {
  store::ApiKey key;
  key.id = std::move(id);
  key.tenant = kDefaultTenant;
  key.name = name;
  key.hash = HashApiKey(secret);
  key.scopes = {"read", "write", "admin"};
  return key;
}

absl::Status Create(store::Store& store, store::ApiKey key) {
  ALCOVE_ASSIGN_OR_RETURN(store::ApiKey made, store.keys().CreateKey(std::move(key)));
  store::AuditEvent event;
  event.tenant = made.tenant;
  event.actor = "gateway";
  event.action = "key.create";
  event.resource = made.id;
  event.outcome = "ok";
  return store.audit().Append(event);
}

absl::Status UseConfiguredKey(store::Store& store, const std::string& secret) {
  const std::string hash = HashApiKey(secret);
  store::PageRequest page;
  do {
    ALCOVE_ASSIGN_OR_RETURN(store::ApiKeyPage keys, store.keys().ListKeys(kDefaultTenant, page));
    for (const store::ApiKey& key : keys.keys) {
      if (key.name != kConfiguredName || key.hash == hash || key.revoked_at) continue;
      ALCOVE_RETURN_IF_ERROR(store.keys().RevokeKey(key.id).status());
      LogInfo("revoked the admin key of an earlier configuration", {{"key", key.id}});
    }
    page.page_token = keys.next_page_token;
  } while (!page.page_token.empty());

  absl::StatusOr<store::ApiKey> known = store.keys().FindByHash(hash);
  if (known.ok()) {
    return known->revoked_at ? absl::FailedPreconditionError("auth.admin_key was revoked earlier; set another one")
                             : absl::OkStatus();
  }
  if (!absl::IsNotFound(known.status())) return known.status();
  absl::Status made =
      Create(store, AdminKey(absl::StrCat("configured-", ToHex(hash).substr(0, 12)), secret, kConfiguredName));
  // Another gateway with the same configuration may have been quicker.
  return absl::IsAlreadyExists(made) ? absl::OkStatus() : made;
}

}  // namespace

absl::Status BootstrapKeys(store::Store& store, const BootstrapOptions& options) {
  absl::StatusOr<store::Tenant> tenant = store.keys().GetTenant(kDefaultTenant);
  if (absl::IsNotFound(tenant.status())) {
    tenant = store.keys().CreateTenant(kDefaultTenant, "Default");
    if (absl::IsAlreadyExists(tenant.status())) tenant = store.keys().GetTenant(kDefaultTenant);
  }
  if (!tenant.ok()) return tenant.status();

  if (!options.admin_key.empty()) return UseConfiguredKey(store, options.admin_key);

  store::PageRequest page;
  page.page_size = 1;
  ALCOVE_ASSIGN_OR_RETURN(const store::ApiKeyPage keys, store.keys().ListKeys(kDefaultTenant, page));
  if (!keys.keys.empty()) return absl::OkStatus();
  const NewApiKey key = MakeApiKey();
  const std::string path = absl::StrCat(options.data_dir, "/admin.key");
  // The file first: a key in the store that nobody can read would lock everybody out.
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(options.data_dir, 0700));
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(path, absl::StrCat(key.secret, "\n"), 0600));
  ALCOVE_RETURN_IF_ERROR(Create(store, AdminKey(key.id, key.secret, kFirstName)));
  LogInfo("made the first admin key", {{"file", path}, {"key", key.id}});
  return absl::OkStatus();
}

}  // namespace alcove::gateway
