// alias set, list and delete; collections reshard.
#include <algorithm>
#include <cstdio>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/common/status.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using namespace alcove::vector::v1;  // NOLINT(google-build-using-namespace): the generated names of one area
using Stub = VectorService::Stub;

constexpr absl::Duration kLookAgain = absl::Milliseconds(500);

absl::Status RunSetAlias(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  SetAliasRequest request;
  request.set_alias(invocation.args()[0]);
  request.set_collection(invocation.args()[1]);
  ALCOVE_ASSIGN_OR_RETURN(const SetAliasResponse response, client->Call(*stub, &Stub::SetAlias, request));
  if (invocation.Get("output") == "json") return Print(ToJson(response.alias()));
  return Print(absl::StrCat(response.alias().alias(), " leads to ", response.alias().collection(), "\n"));
}

absl::Status RunListAliases(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  ListAliasesResponse all;
  ListAliasesRequest request;
  do {
    ALCOVE_ASSIGN_OR_RETURN(ListAliasesResponse page, client->Call(*stub, &Stub::ListAliases, request));
    all.mutable_aliases()->MergeFrom(page.aliases());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (invocation.Get("output") == "json") return Print(ToJson(all));
  Table table({"ALIAS", "COLLECTION"});
  for (const Alias& alias : all.aliases()) table.Add({alias.alias(), alias.collection()});
  return Print(table.ToString());
}

absl::Status RunDeleteAlias(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  DeleteAliasRequest request;
  request.set_alias(invocation.args()[0]);
  return client->Call(*stub, &Stub::DeleteAlias, request).status();
}

void ShowProgress(const Resharding& now, bool last) {
  const double total = static_cast<double>(std::max<int64_t>(now.records(), 1));
  std::fprintf(stderr, StderrIsTerminal() ? "\r%s\033[K%s" : "%s%s\n",
               absl::StrFormat("%d to %d shards: %d of %d records copied (%.0f %%), %d applied", now.shard_count(),
                               now.next_shard_count(), now.copied(), now.records(),
                               100 * static_cast<double>(now.copied()) / total, now.applied())
                   .c_str(),
               StderrIsTerminal() && last ? "\n" : "");
}

absl::Status RunReshard(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = VectorService::NewStub(client->channel());
  const std::string& name = invocation.args()[0];
  if (invocation.GetSwitch("cancel")) {
    CancelReshardingRequest request;
    request.set_name(name);
    return client->Call(*stub, &Stub::CancelResharding, request).status();
  }
  if (invocation.Has("shards")) {
    StartReshardingRequest request;
    request.set_name(name);
    ALCOVE_ASSIGN_OR_RETURN(const int64_t shards, invocation.GetInt("shards", 1, 4096));
    request.set_shard_count(static_cast<uint32_t>(shards));
    ALCOVE_RETURN_IF_ERROR(client->Call(*stub, &Stub::StartResharding, request).status());
  }
  GetReshardingRequest request;
  request.set_name(name);
  bool open_line = false;  // a terminal's line that the next progress replaces
  while (true) {
    ALCOVE_ASSIGN_OR_RETURN(const GetReshardingResponse response, client->Call(*stub, &Stub::GetResharding, request));
    const Resharding& now = response.resharding();
    const bool watch = now.active() && !invocation.GetSwitch("no-wait");
    if (now.active()) {
      ShowProgress(now, !watch);
      open_line = watch && StderrIsTerminal();
    }
    if (!watch) {
      if (open_line) std::fputc('\n', stderr);
      if (invocation.Get("output") == "json") return Print(ToJson(now));
      return Print(now.active() ? absl::StrCat("resharding goes on in the background\n")
                                : absl::StrCat(name, " has ", now.shard_count(),
                                               now.shard_count() == 1 ? " shard\n" : " shards\n"));
    }
    absl::SleepFor(kLookAgain);
  }
}

}  // namespace

std::vector<CommandSpec> ClusterCommands() {
  return {
      {.name = "collections reshard",
       .summary = "Spread a collection over another number of shards",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags =
           Join(ClientFlags(), {{"shards", 0, "N", "", "number of shards wanted; without it a resharding is watched"},
                                {"no-wait", 0, "", "", "do not wait for the end"},
                                {"cancel", 0, "", "", "give a resharding up"}}),
       .details = "Reads and writes go on. An interrupted wait stops nothing: the same command without --shards "
                  "watches on.\n\n"
                  "example:\n  alcovectl collections reshard packages --shards 3",
       .run = RunReshard},
      {.name = "alias set",
       .summary = "Make an alias lead to a collection",
       .args = "ALIAS COLLECTION",
       .min_args = 2,
       .max_args = 2,
       .flags = ClientFlags(),
       .details = "An alias that leads elsewhere is moved in one step.",
       .run = RunSetAlias},
      {.name = "alias list", .summary = "List aliases", .flags = ClientFlags(), .run = RunListAliases},
      {.name = "alias delete",
       .summary = "Remove an alias; the collection stays",
       .args = "ALIAS",
       .min_args = 1,
       .max_args = 1,
       .flags = ClientFlags(),
       .run = RunDeleteAlias},
  };
}

}  // namespace alcove::ctl
