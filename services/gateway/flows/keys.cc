#include "services/gateway/flows/keys.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "libs/store/audit_store.h"
#include "libs/store/key_store.h"
#include "services/gateway/access/api_key.h"
#include "services/gateway/access/blocking.h"
#include "services/gateway/access/bootstrap.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

absl::Status KeysAreOff() {
  return absl::FailedPreconditionError("API keys are switched off (auth.mode none); set auth.mode to keys");
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(out->seconds()))));
}

absl::Time GetTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

v1::ApiKey ToProto(const store::ApiKey& key) {
  v1::ApiKey out;
  out.set_id(key.id);
  out.set_name(key.name);
  out.set_tenant(key.tenant);
  for (const std::string& scope : key.scopes) out.add_scopes(scope);
  out.set_prefix(ApiKeyPrefix(key.id));
  SetTime(key.created_at, out.mutable_created_at());
  if (key.expires_at) SetTime(*key.expires_at, out.mutable_expires_at());
  if (key.revoked_at) SetTime(*key.revoked_at, out.mutable_revoked_at());
  return out;
}

absl::StatusOr<std::vector<std::string>> ReadScopes(const v1::CreateKeyRequest& request) {
  std::vector<std::string> scopes;
  for (int i = 0; i < request.scopes_size(); ++i) {
    const std::string& scope = request.scopes(i);
    if (scope != "read" && scope != "write" && scope != "admin") {
      return InvalidField(absl::StrCat("scopes[", i, "]"), "expected read, write or admin");
    }
    if (std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) scopes.push_back(scope);
  }
  if (scopes.empty()) scopes = {"read", "write"};
  return scopes;
}

void Record(store::Store& store, const RequestContext& ctx, std::string_view action, std::string_view key,
            const absl::Status& outcome) {
  store::AuditEvent event;
  event.tenant = ctx.tenant();
  event.actor = ctx.key_id();
  event.action = action;
  event.resource = key;
  event.outcome = outcome.ok() ? "ok" : std::string(StatusCodeName(outcome.code()));
  event.request_id = ctx.request_id();
  const absl::Status stored = store.audit().Append(event);
  if (!stored.ok()) LogError(ctx, "an audit record could not be written", {{"error", stored}});
}

absl::StatusOr<store::ApiKey> StoreKey(store::Store& store, const RequestContext& ctx, store::ApiKey key) {
  const std::string id = key.id;
  if (key.tenant != ctx.tenant()) {
    absl::StatusOr<store::Tenant> tenant = store.keys().GetTenant(key.tenant);
    if (absl::IsNotFound(tenant.status())) tenant = store.keys().CreateTenant(key.tenant, key.tenant);
    if (!tenant.ok() && !absl::IsAlreadyExists(tenant.status())) return tenant.status();
  }
  absl::StatusOr<store::ApiKey> made = store.keys().CreateKey(std::move(key));
  Record(store, ctx, "key.create", id, made.status());
  return made;
}

}  // namespace

asio::awaitable<absl::StatusOr<v1::CreateKeyResponse>> CreateKey(KeyEnv& env, const RequestContext& ctx,
                                                                 const v1::CreateKeyRequest& request) {
  if (env.store == nullptr) co_return KeysAreOff();
  if (request.name().size() > 128) co_return InvalidField("name", "has more than 128 bytes");
  auto scopes = ReadScopes(request);
  if (!scopes.ok()) co_return scopes.status();
  store::ApiKey key;
  key.tenant = request.tenant().empty() ? ctx.tenant() : request.tenant();
  if (key.tenant != ctx.tenant() && ctx.tenant() != kDefaultTenant) {
    co_return absl::PermissionDeniedError("only an admin of the tenant \"default\" may make keys of another tenant");
  }
  if (request.has_expires_at()) {
    key.expires_at = GetTime(request.expires_at());
    if (*key.expires_at <= env.clock->Now()) co_return InvalidField("expires_at", "lies in the past");
  }
  const NewApiKey secret = MakeApiKey();
  key.id = secret.id;
  key.name = request.name();
  key.hash = HashApiKey(secret.secret);
  key.scopes = *std::move(scopes);
  auto work = [store = env.store, ctx, key = std::move(key)] { return StoreKey(*store, ctx, key); };
  absl::StatusOr<store::ApiKey> made = co_await RunBlocking(*env.workers, std::move(work));
  if (!made.ok()) co_return made.status();
  v1::CreateKeyResponse response;
  *response.mutable_key() = ToProto(*made);
  response.set_secret(secret.secret);
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::ListKeysResponse>> ListKeys(KeyEnv& env, const RequestContext& ctx,
                                                               const v1::ListKeysRequest& request) {
  if (env.store == nullptr) co_return KeysAreOff();
  if (request.page_size() > 1000) co_return InvalidField("page_size", "at most 1,000");
  store::PageRequest page;
  page.page_size = static_cast<int>(request.page_size());
  page.page_token = request.page_token();
  auto work = [store = env.store, tenant = ctx.tenant(), page] { return store->keys().ListKeys(tenant, page); };
  absl::StatusOr<store::ApiKeyPage> listed = co_await RunBlocking(*env.workers, std::move(work));
  if (!listed.ok()) co_return listed.status();
  v1::ListKeysResponse response;
  for (const store::ApiKey& key : listed->keys) *response.add_keys() = ToProto(key);
  response.set_next_page_token(listed->next_page_token);
  co_return response;
}

asio::awaitable<absl::StatusOr<v1::RevokeKeyResponse>> RevokeKey(KeyEnv& env, const RequestContext& ctx,
                                                                 const v1::RevokeKeyRequest& request) {
  if (env.store == nullptr) co_return KeysAreOff();
  if (request.id().empty()) co_return InvalidField("id", "must be given");
  auto work = [store = env.store, ctx, id = request.id()] {
    absl::StatusOr<store::ApiKey> revoked = store->keys().RevokeKey(id, absl::string_view(ctx.tenant()));
    Record(*store, ctx, "key.revoke", id, revoked.status());
    return revoked;
  };
  absl::StatusOr<store::ApiKey> revoked = co_await RunBlocking(*env.workers, std::move(work));
  if (!revoked.ok()) co_return revoked.status();
  // Every loop of this gateway asks the store again before it lets a key in.
  env.directory->Invalidate();
  co_return v1::RevokeKeyResponse();
}

}  // namespace alcove::gateway
