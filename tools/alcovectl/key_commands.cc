#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>

#include "alcove/gateway/v1/gateway.grpc.pb.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using namespace alcove::gateway::v1;  // NOLINT(google-build-using-namespace): the generated names of one area
using Stub = KeyService::Stub;

std::string Day(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

absl::Status RunCreate(const Invocation& invocation) {
  CreateKeyRequest request;
  request.set_name(invocation.args()[0]);
  for (const std::string& scope : invocation.GetAll("scope")) {
    for (absl::string_view one : absl::StrSplit(scope, ',', absl::SkipEmpty())) request.add_scopes(std::string(one));
  }
  request.set_tenant(invocation.Get("tenant"));
  if (invocation.Has("expires-in")) {
    ALCOVE_ASSIGN_OR_RETURN(const absl::Duration life, ParseDurationText(invocation.Get("expires-in")));
    request.mutable_expires_at()->set_seconds(absl::ToUnixSeconds(absl::Now() + life));
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = KeyService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const CreateKeyResponse response, client->Call(*stub, &Stub::CreateKey, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  return Print(absl::StrCat("id      ", response.key().id(), "\nscopes  ", absl::StrJoin(response.key().scopes(), " "),
                            "\nsecret  ", response.secret(), "\n\nThe secret is shown this once.\n"));
}

absl::Status RunList(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = KeyService::NewStub(client->channel());
  ListKeysResponse all;
  ListKeysRequest request;
  do {
    ALCOVE_ASSIGN_OR_RETURN(ListKeysResponse page, client->Call(*stub, &Stub::ListKeys, request));
    all.mutable_keys()->MergeFrom(page.keys());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (invocation.Get("output") == "json") return Print(ToJson(all));
  Table table({"ID", "NAME", "TENANT", "SCOPES", "BEGINS", "CREATED", "STATE"});
  for (const ApiKey& key : all.keys()) {
    table.Add({key.id(), key.name(), key.tenant(), absl::StrJoin(key.scopes(), " "), key.prefix(),
               Day(key.created_at()),
               key.has_revoked_at()   ? absl::StrCat("revoked ", Day(key.revoked_at()))
               : key.has_expires_at() ? absl::StrCat("until ", Day(key.expires_at()))
                                      : "valid"});
  }
  return Print(table.ToString());
}

absl::Status RunRevoke(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = KeyService::NewStub(client->channel());
  RevokeKeyRequest request;
  request.set_id(invocation.args()[0]);
  return client->Call(*stub, &Stub::RevokeKey, request).status();
}

}  // namespace

std::vector<CommandSpec> KeyCommands() {
  return {
      {.name = "key create",
       .summary = "Create an API key; its secret is shown once",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(ClientFlags(), {{"scope", 0, "SCOPE", "read,write", "what it allows: read, write, admin", true},
                                     {"tenant", 0, "TENANT", "", "tenant it belongs to; default: the caller's"},
                                     {"expires-in", 0, "DURATION", "", "when it stops working, as in 720h"}}),
       .run = RunCreate},
      {.name = "key list", .summary = "List API keys", .flags = ClientFlags(), .run = RunList},
      {.name = "key revoke",
       .summary = "Make an API key useless at once",
       .args = "ID",
       .min_args = 1,
       .max_args = 1,
       .flags = ClientFlags(),
       .run = RunRevoke},
  };
}

}  // namespace alcove::ctl
