// backup and restore: straight from and to the SQL store, whether the stack runs or not.
#include <cstdio>
#include <cstdlib>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include "libs/common/status.h"
#include "libs/common/text.h"
#include "libs/store/backup_store.h"
#include "libs/store/store.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/output.h"
#include "tools/alcovectl/stack/layout.h"

namespace alcove::ctl {
namespace {

absl::StatusOr<std::unique_ptr<store::Store>> OpenStore(const Invocation& invocation, bool create) {
  std::string url = invocation.Get("store");
  if (url.empty()) {
    const char* folder = std::getenv("ALCOVE_DATA");
    const std::string data = invocation.Has("data") ? invocation.Get("data")
                             : folder != nullptr    ? folder
                                                    : kDefaultDataFolder;
    url = absl::StrCat("sqlite:", StackLayout(data).Database());
  }
  store::StoreOptions options;
  options.create_if_missing = create;
  return store::Open(url, options);
}

// A line on standard error: rewritten in place on a terminal, every five seconds elsewhere.
class ProgressLine {
 public:
  void Show(const store::BackupProgress& progress) {
    const absl::Time now = absl::Now();
    if (now - shown_ < (terminal_ ? absl::Milliseconds(200) : absl::Seconds(5))) return;
    shown_ = now;
    const std::string line = absl::StrFormat("%3.0f %%  %d records, %s", 100 * progress.fraction, progress.records,
                                             FormatBytes(static_cast<uint64_t>(progress.bytes)));
    std::fprintf(stderr, terminal_ ? "\r%s\033[K" : "%s\n", line.c_str());
    begun_ = true;
  }
  store::BackupObserver Observer() {
    return [this](const store::BackupProgress& progress) {
      Show(progress);
      return absl::OkStatus();
    };
  }
  ~ProgressLine() {
    if (begun_ && terminal_) std::fputc('\n', stderr);
  }

 private:
  const bool terminal_ = StderrIsTerminal();
  bool begun_ = false;
  absl::Time shown_ = absl::Now();
};

absl::string_view ScopeName(store::BackupScope scope) {
  switch (scope) {
    case store::BackupScope::kStore: return "the whole store";
    case store::BackupScope::kTenant: return "a tenant's collections";
    case store::BackupScope::kCollection: return "one collection";
  }
  return "";
}

absl::Status PrintSummary(const Invocation& invocation, const store::BackupSummary& summary, absl::string_view verb) {
  if (invocation.Get("output") == "json") {
    return Print(absl::StrFormat(
        "{\"whole\": %s, \"taken_at\": \"%s\", \"collections\": %d, \"records\": %d, \"rows\": %d, \"bytes\": %d}\n",
        summary.scope == store::BackupScope::kStore ? "true" : "false",
        absl::FormatTime(absl::RFC3339_sec, summary.taken_at, absl::UTCTimeZone()), summary.collections,
        summary.records, summary.rows, summary.bytes));
  }
  return Print(
      absl::StrFormat("%s: %s of %s, %d collections, %d records, %d other rows, %s\n", verb, ScopeName(summary.scope),
                      absl::FormatTime(absl::RFC3339_sec, summary.taken_at, absl::UTCTimeZone()), summary.collections,
                      summary.records, summary.rows, FormatBytes(static_cast<uint64_t>(summary.bytes))));
}

absl::Status RunBackup(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto store, OpenStore(invocation, false));
  ProgressLine line;
  store::BackupOptions options;
  options.progress = line.Observer();
  if (invocation.Has("collection")) {
    options.collection.emplace(invocation.Get("tenant"), invocation.Get("collection"));
  }
  ALCOVE_ASSIGN_OR_RETURN(const store::BackupSummary summary, store->backups().Write(invocation.args()[0], options));
  return PrintSummary(invocation, summary, "written");
}

absl::Status RunRestore(const Invocation& invocation) {
  const std::string& path = invocation.args()[0];
  if (invocation.GetSwitch("check")) {
    ALCOVE_ASSIGN_OR_RETURN(const store::BackupSummary summary, store::BackupStore::Verify(path));
    return PrintSummary(invocation, summary, "sound");
  }
  ALCOVE_ASSIGN_OR_RETURN(const auto store, OpenStore(invocation, true));
  ProgressLine line;
  store::RestoreOptions options;
  options.progress = line.Observer();
  if (invocation.Has("as")) options.as_name = invocation.Get("as");
  if (invocation.Has("tenant")) options.as_tenant = invocation.Get("tenant");
  ALCOVE_ASSIGN_OR_RETURN(const store::BackupSummary summary, store->backups().Restore(path, options));
  return PrintSummary(invocation, summary, "restored");
}

std::vector<FlagSpec> StoreFlags() {
  return {
      {"store", 0, "URL", "", "store to work on: sqlite:FILE or postgresql://…; default: that of the local stack"},
      {"data", 'd', "DIR", "", "data folder of the local stack; also ALCOVE_DATA"},
      {"output", 'o', "FORMAT", "table", "table for people, json for programs"},
  };
}

}  // namespace

std::vector<CommandSpec> BackupCommands() {
  return {
      {.name = "backup",
       .summary = "Write the whole store, or one collection, to a file",
       .args = "FILE",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(StoreFlags(), {{"collection", 'c', "NAME", "", "only this collection"},
                                    {"tenant", 't', "NAME", "default", "its tenant (with --collection)"}}),
       .details = "The file holds everything as of one moment; reading and writing go on meanwhile. It holds keys' "
                  "hashes and\n"
                  "all vectors and payload: keep it as you keep the store.\n\n"
                  "examples:\n  alcovectl backup /backups/alcove-today\n"
                  "  alcovectl backup docs.backup --collection docs --store postgresql://alcove@db/alcove",
       .run = RunBackup},
      {.name = "restore",
       .summary = "Bring back what backup wrote",
       .args = "FILE",
       .min_args = 1,
       .max_args = 1,
       .flags = Join(StoreFlags(), {{"as", 0, "NAME", "", "another name for the collection"},
                                    {"tenant", 't', "NAME", "", "another tenant for the collection"},
                                    {"check", 0, "", "", "only read the file and check it"}}),
       .details = "A whole store is restored into a new one, before the stack is started on it; a single collection "
                  "also into\n"
                  "a running one. Either everything appears or nothing.",
       .run = RunRestore},
  };
}

}  // namespace alcove::ctl
