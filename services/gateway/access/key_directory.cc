#include "services/gateway/access/key_directory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "services/gateway/access/api_key.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

absl::Status Refuse(std::string_view message, std::string_view reason) {
  return WithReason(absl::UnauthenticatedError(ToAbsl(message)), ToAbsl(reason));
}

bool Has(const store::ApiKey& key, std::string_view scope) {
  return std::find(key.scopes.begin(), key.scopes.end(), scope) != key.scopes.end();
}

}  // namespace

KeyDirectory::KeyDirectory(store::KeyStore* keys, KeyDirectoryOptions options) : keys_(keys), options_(options) {}

absl::StatusOr<std::shared_ptr<const Caller>> KeyDirectory::Load(std::string_view hash) {
  absl::StatusOr<store::ApiKey> key = keys_->FindByHash(ToAbsl(hash));
  if (absl::IsNotFound(key.status())) return Refuse("the API key is not known", "KEY_UNKNOWN");
  if (!key.ok()) return Annotate(key.status(), "keys cannot be checked");
  if (!SecretsEqual(key->hash, hash)) return Refuse("the API key is not known", "KEY_UNKNOWN");
  if (key->revoked_at) return Refuse("the API key has been revoked", "KEY_REVOKED");
  if (!key->UsableAt(options_.clock->Now())) return Refuse("the API key has expired", "KEY_EXPIRED");
  absl::StatusOr<store::Tenant> tenant = keys_->GetTenant(key->tenant);
  if (!tenant.ok()) return Annotate(tenant.status(), "keys cannot be checked");
  if (tenant->disabled) {
    return WithReason(absl::PermissionDeniedError("the tenant of this key is disabled"), "TENANT_DISABLED");
  }
  auto caller = std::make_shared<Caller>();
  caller->tenant = key->tenant;
  caller->key_id = key->id;
  caller->read = Has(*key, "read");
  caller->write = Has(*key, "write");
  caller->admin = Has(*key, "admin");
  caller->expires_at = key->expires_at.value_or(absl::InfiniteFuture());
  caller->usage = UsageOf(key->id);
  return caller;
}

std::shared_ptr<KeyUsage> KeyDirectory::UsageOf(const std::string& key_id) {
  absl::MutexLock lock(&mu_);
  std::shared_ptr<KeyUsage>& usage = usage_[key_id];
  if (usage == nullptr) usage = std::make_shared<KeyUsage>(options_.rate_per_second, options_.burst);
  return usage;
}

absl::Status KeyDirectory::Refresh() {
  ALCOVE_ASSIGN_OR_RETURN(const int64_t version, keys_->Version());
  absl::MutexLock lock(&mu_);
  if (version != std::exchange(seen_version_, version)) Invalidate();
  return absl::OkStatus();
}

absl::Status KeyDirectory::FlushUses() {
  std::vector<std::pair<std::string, absl::Time>> uses;
  {
    absl::MutexLock lock(&mu_);
    for (auto it = usage_.begin(); it != usage_.end();) {
      const int64_t at = it->second->TakeLastUse();
      if (at != 0) uses.emplace_back(it->first, absl::FromUnixSeconds(at));
      // Only the directory holds it: no loop has cached the key, so its limiter has nothing to remember.
      const auto current = it++;
      if (at == 0 && current->second.use_count() == 1) usage_.erase(current);
    }
  }
  return uses.empty() ? absl::OkStatus() : keys_->TouchKeys(uses);
}

}  // namespace alcove::gateway
