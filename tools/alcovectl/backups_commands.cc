// backups create, list, restore and delete: backups the server keeps.
#include <algorithm>
#include <cstdio>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <google/protobuf/util/time_util.h>

#include "alcove/vector/v1/backup.grpc.pb.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"

namespace alcove::ctl {
namespace {

using namespace alcove::vector::v1;  // NOLINT(google-build-using-namespace): the generated names of one area
using Stub = BackupService::Stub;

constexpr absl::Duration kLookAgain = absl::Milliseconds(250);

std::string Counted(uint64_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

// Asks `look`, a function that returns StatusOr<Backup or Restore>, until what it shows has ended.
template <typename Look>
auto AwaitEnd(Look look) -> decltype(look()) {
  bool open_line = false;  // a terminal's line that the next progress replaces
  absl::Time shown = absl::Now();
  while (true) {
    auto now = look();
    if (!now.ok() || now->state() != JOB_STATE_RUNNING) {
      if (open_line) std::fputc('\n', stderr);
      return now;
    }
    if (StderrIsTerminal() || absl::Now() - shown > absl::Seconds(5)) {
      std::fprintf(stderr, StderrIsTerminal() ? "\r%s\033[K" : "%s\n",
                   absl::StrFormat("%3.0f %%  %d records", 100 * now->progress(), now->records()).c_str());
      open_line = StderrIsTerminal();
      shown = absl::Now();
    }
    absl::SleepFor(kLookAgain);
  }
}

absl::string_view StateName(JobState state) {
  switch (state) {
    case JOB_STATE_RUNNING: return "running";
    case JOB_STATE_COMPLETE: return "complete";
    case JOB_STATE_FAILED: return "failed";
    default: return "unknown";
  }
}

// What a job that has ended or goes on in the background is reported as; an error when it has failed.
template <typename Job>
absl::Status Report(const Invocation& invocation, const Job& job, const std::string& text) {
  if (invocation.Get("output") == "json") ALCOVE_RETURN_IF_ERROR(Print(ToJson(job)));
  if (job.state() == JOB_STATE_FAILED) return absl::AbortedError(job.error());
  return invocation.Get("output") == "json" ? absl::OkStatus() : Print(text);
}

absl::Status RunCreate(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = BackupService::NewStub(client->channel());
  CreateBackupRequest request;
  if (!invocation.args().empty()) request.set_collection(invocation.args()[0]);
  request.set_name(invocation.Get("name"));
  ALCOVE_ASSIGN_OR_RETURN(const CreateBackupResponse created, client->Call(*stub, &Stub::CreateBackup, request));
  Backup backup = created.backup();
  if (!invocation.GetSwitch("no-wait")) {
    GetBackupRequest get;
    get.set_name(backup.name());
    ALCOVE_ASSIGN_OR_RETURN(backup, AwaitEnd([&]() -> absl::StatusOr<Backup> {
                              ALCOVE_ASSIGN_OR_RETURN(auto reply, client->Call(*stub, &Stub::GetBackup, get));
                              return std::move(*reply.mutable_backup());
                            }));
  }
  return Report(invocation, backup,
                backup.state() == JOB_STATE_COMPLETE
                    ? absl::StrFormat("%s: %s, %s, %s\n", backup.name(), Counted(backup.collections(), "collection"),
                                      Counted(backup.records(), "record"), FormatBytes(backup.bytes()))
                    : absl::StrCat(backup.name(), " is being made in the background\n"));
}

absl::Status RunList(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = BackupService::NewStub(client->channel());
  ListBackupsResponse all;
  ListBackupsRequest request;
  do {
    ALCOVE_ASSIGN_OR_RETURN(ListBackupsResponse page, client->Call(*stub, &Stub::ListBackups, request));
    all.mutable_backups()->MergeFrom(page.backups());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (invocation.Get("output") == "json") return Print(ToJson(all));
  Table table({"NAME", "COLLECTION", "TAKEN", "STATE", "RECORDS", "SIZE"});
  for (const Backup& backup : all.backups()) {
    table.Add({backup.name(), backup.collection().empty() ? "(all)" : backup.collection(),
               google::protobuf::util::TimeUtil::ToString(backup.taken_at()).substr(0, 19),
               backup.state() == JOB_STATE_RUNNING ? absl::StrFormat("%.0f %%", 100 * backup.progress())
                                                   : std::string(StateName(backup.state())),
               absl::StrCat(backup.records()), FormatBytes(backup.bytes())});
  }
  return Print(table.ToString());
}

absl::Status RunDelete(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = BackupService::NewStub(client->channel());
  DeleteBackupRequest request;
  request.set_name(invocation.args()[0]);
  return client->Call(*stub, &Stub::DeleteBackup, request).status();
}

absl::Status RunRestore(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = BackupService::NewStub(client->channel());
  const std::string& name = invocation.args()[0];
  if (invocation.GetSwitch("cancel")) {
    CancelRestoreRequest request;
    request.set_name(name);
    return client->Call(*stub, &Stub::CancelRestore, request).status();
  }
  StartRestoreRequest request;
  request.set_name(name);
  request.set_collection(invocation.Get("as"));
  ALCOVE_ASSIGN_OR_RETURN(const StartRestoreResponse started, client->Call(*stub, &Stub::StartRestore, request));
  Restore restore = started.restore();
  if (!invocation.GetSwitch("no-wait")) {
    GetRestoreRequest get;
    get.set_name(name);
    ALCOVE_ASSIGN_OR_RETURN(restore, AwaitEnd([&]() -> absl::StatusOr<Restore> {
                              ALCOVE_ASSIGN_OR_RETURN(auto reply, client->Call(*stub, &Stub::GetRestore, get));
                              return std::move(*reply.mutable_restore());
                            }));
  }
  return Report(invocation, restore,
                restore.state() == JOB_STATE_COMPLETE
                    ? absl::StrFormat("%s restored: %s, %s\n", name, Counted(restore.collections(), "collection"),
                                      Counted(restore.records(), "record"))
                    : absl::StrCat(name, " is being restored in the background\n"));
}

}  // namespace

std::vector<CommandSpec> BackupsCommands() {
  const FlagSpec no_wait{"no-wait", 0, "", "", "return at once; the work goes on in the background"};
  return {
      {.name = "backups create",
       .summary = "Have the server back up one collection, or all",
       .args = "[COLLECTION]",
       .min_args = 0,
       .max_args = 1,
       .flags = Join(ClientFlags(),
                     {{"name", 0, "NAME", "", "name of the backup; default: of the collection and the time"}, no_wait}),
       .details =
           "The backup is kept in the server's folder for backups (backup.directory); `alcovectl backup` writes a "
           "file here.\n\nexample:\n  alcovectl backups create packages --name packages-before-the-move",
       .run = RunCreate},
      {.name = "backups list", .summary = "List the backups the server keeps", .flags = ClientFlags(), .run = RunList},
      {.name = "backups restore",
       .summary = "Bring a backup of the server's back",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(ClientFlags(), {{"as", 0, "COLLECTION", "", "another name for the collection"},
                                     {"cancel", 0, "", "", "give up the restore that is under way"},
                                     no_wait}),
       .details =
           "Either everything appears or nothing. A name that is taken is refused: restore under another one and "
           "lead an\nalias to it (alias set), or delete the collection first.",
       .run = RunRestore},
      {.name = "backups delete",
       .summary = "Remove a backup the server keeps",
       .args = "NAME",
       .min_args = 1,
       .max_args = 1,
       .flags = ClientFlags(),
       .run = RunDelete},
  };
}

}  // namespace alcove::ctl
