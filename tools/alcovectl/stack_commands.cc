#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alcove/gateway/v1/gateway.grpc.pb.h"
#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/commands.h"
#include "tools/alcovectl/gateway_client.h"
#include "tools/alcovectl/output.h"
#include "tools/alcovectl/stack/plan.h"
#include "tools/alcovectl/stack/state.h"
#include "tools/alcovectl/stack/supervisor.h"

namespace alcove::ctl {
namespace {

using alcove::common::v1::Health_Name;
using alcove::gateway::v1::GetStatusRequest;
using alcove::gateway::v1::GetStatusResponse;
using alcove::gateway::v1::StatusService;

std::string DataFolder(const Invocation& invocation) {
  if (invocation.Has("data")) return invocation.Get("data");
  const char* value = std::getenv("ALCOVE_DATA");
  return value != nullptr && *value != '\0' ? value : kDefaultDataFolder;
}

std::string OwnFolder() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
  return n <= 0 ? "." : DirectoryOf(absl::string_view(path, n));
}

absl::StatusOr<StackOptions> OptionsFromFlags(const Invocation& invocation) {
  StackOptions options;
  options.bin_dir = invocation.Get("bin-dir").empty() ? OwnFolder() : invocation.Get("bin-dir");
  options.listen = invocation.Get("listen");
  ALCOVE_ASSIGN_OR_RETURN(options.port, invocation.GetInt("port", 0, 65535));
  ALCOVE_ASSIGN_OR_RETURN(options.base_port, invocation.GetInt("base-port", 0, 65000));
  ALCOVE_ASSIGN_OR_RETURN(options.shards, invocation.GetInt("shards", 1, 64));
  options.models = invocation.GetAll("model");
  options.store_url = invocation.Get("store");
  options.redis = !invocation.GetSwitch("no-redis");
  options.log_level = invocation.Get("log-level");
  return options;
}

std::string ReadyMessage(const StackLayout& layout, const StackPlan& plan) {
  return absl::StrCat("\nAlcove is ready at http://", plan.gateway, "\n  admin key   ", layout.AdminKey(),
                      "\n  logs        ", layout.root(), "/logs\n  try         curl -H \"Authorization: Bearer $(cat ",
                      layout.AdminKey(), ")\" http://", plan.gateway, "/v1/status\n");
}

// Supervises in this process. `report` gets every line; `ready` is called once.
absl::Status Supervise(const Invocation& invocation, const std::function<void(const std::string&)>& report,
                       const std::function<void()>& ready) {
  const StackLayout layout(DataFolder(invocation));
  ALCOVE_ASSIGN_OR_RETURN(const StackOptions options, OptionsFromFlags(invocation));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(layout.root() + "/run", 0700));
  const int lock = open(layout.Lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return ErrnoStatus(errno, layout.Lock());
  const absl::Cleanup closer = [lock] { close(lock); };
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const auto state = ReadStackState(layout);
    return absl::AlreadyExistsError(absl::StrCat("a stack already runs in ", layout.root(),
                                                 state.ok() ? absl::StrCat(" (pid ", state->supervisor_pid, ")") : "",
                                                 "; stop it with: alcovectl down --data ", layout.root()));
  }
  ALCOVE_ASSIGN_OR_RETURN(StackPlan plan, PlanStack(layout, options));
  const std::string message = ReadyMessage(layout, plan);
  sigset_t handled;
  sigemptyset(&handled);
  for (int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&handled, signal);
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  Supervisor supervisor(layout, std::move(plan), SupervisorOptions{}, report);
  return supervisor.Run([&] {
    report(message);
    ready();
  });
}

// Supervises in a background process; returns when the stack is ready or has failed.
absl::Status SuperviseDetached(const Invocation& invocation) {
  const StackLayout layout(DataFolder(invocation));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(layout.root() + "/logs", 0700));
  int progress[2];
  if (pipe2(progress, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    close(progress[0]);
    setsid();
    const int log = open(layout.Log("supervisor").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || null < 0) _exit(1);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    int to_parent = progress[1];
    auto tell = [&to_parent](absl::string_view text) {
      if (to_parent >= 0 && write(to_parent, text.data(), text.size()) < 0) to_parent = -1;
    };
    const absl::Status status = Supervise(
        invocation,
        [&](const std::string& line) {
          std::fprintf(stderr, "%s %s\n", absl::FormatTime(absl::Now()).c_str(), line.c_str());
          tell(line + "\n");
        },
        [&] {
          close(to_parent);
          to_parent = -1;
        });
    if (!status.ok()) {
      std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
      // The byte 0 starts the parent's error text; no line of progress holds it.
      tell(absl::StrCat(absl::string_view("\0", 1), status.message()));
    }
    _exit(status.ok() ? 0 : 1);
  }
  close(progress[1]);
  std::string failure;
  bool failed = false;
  char buffer[4096];
  for (ssize_t n; (n = read(progress[0], buffer, sizeof(buffer))) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] == '\0') {
        failed = true;
      } else if (failed) {
        failure += buffer[i];
      } else {
        std::fputc(buffer[i], stderr);
      }
    }
  }
  close(progress[0]);
  return failed ? absl::UnavailableError(failure) : absl::OkStatus();
}

absl::Status RunUp(const Invocation& invocation) {
  if (invocation.GetSwitch("detach")) return SuperviseDetached(invocation);
  return Supervise(
      invocation, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); },
      [] { std::fprintf(stderr, "Ctrl-C stops it.\n"); });
}

absl::Status RunDown(const Invocation& invocation) {
  const StackLayout layout(DataFolder(invocation));
  if (!StackIsRunning(layout)) {
    std::fprintf(stderr, "no stack runs in %s\n", layout.root().c_str());
    return absl::OkStatus();
  }
  ALCOVE_ASSIGN_OR_RETURN(const StackState state, ReadStackState(layout));
  ALCOVE_ASSIGN_OR_RETURN(const absl::Duration timeout, ParseDurationText(invocation.Get("timeout")));
  if (kill(static_cast<pid_t>(state.supervisor_pid), SIGTERM) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stopping process ", state.supervisor_pid));
  }
  const absl::Time deadline = absl::Now() + timeout;
  while (StackIsRunning(layout)) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the stack in ", layout.root(), " still runs; see ", layout.Log("supervisor")));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  std::fprintf(stderr, "stopped; the data stays in %s\n", layout.root().c_str());
  return absl::OkStatus();
}

std::string Facts(const common::v1::ProcessStatus& process) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : process.facts()) texts.push_back(absl::StrCat(name, "=", value));
  std::sort(texts.begin(), texts.end());
  if (!process.reason().empty()) texts.insert(texts.begin(), process.reason());
  return absl::StrJoin(texts, " ");
}

absl::Status RunStatus(const Invocation& invocation) {
  ALCOVE_ASSIGN_OR_RETURN(const auto client, GatewayClient::FromFlags(invocation));
  const auto stub = StatusService::NewStub(client->channel());
  ALCOVE_ASSIGN_OR_RETURN(const GetStatusResponse response,
                          client->Call<StatusService::Stub, GetStatusRequest, GetStatusResponse>(
                              *stub, &StatusService::Stub::GetStatus, {}));
  if (invocation.Get("output") == "json") return Print(ToJson(response));
  Table table({"SERVICE", "ADDRESS", "HEALTH", "UP", "MEMORY", "CPU", "FACTS"}, 90);
  for (const auto& process : response.processes()) {
    const absl::Duration up = absl::Now() - absl::FromUnixSeconds(process.started_at().seconds());
    std::string health = Health_Name(process.health()).substr(sizeof("HEALTH_") - 1);
    std::transform(health.begin(), health.end(), health.begin(), [](unsigned char c) { return std::tolower(c); });
    table.Add({process.service(), process.address(), health,
               process.has_started_at() ? FormatDurationShort(absl::Trunc(up, absl::Seconds(1))) : "-",
               process.resident_bytes() > 0 ? FormatBytes(process.resident_bytes()) : "-",
               process.cpu_seconds() > 0 ? absl::StrFormat("%.1f s", process.cpu_seconds()) : "-", Facts(process)});
  }
  ALCOVE_RETURN_IF_ERROR(Print(table.ToString()));
  if (!response.ready())
    return absl::UnavailableError("the suite is not ready: at least one service has no process that serves");
  return absl::OkStatus();
}

}  // namespace

std::vector<CommandSpec> StackCommands() {
  const FlagSpec data{"data", 'd', "DIR", "",
                      "folder for data, configuration and logs; also ALCOVE_DATA, else ./alcove-data"};
  return {
      {.name = "up",
       .summary = "Start the whole stack on this machine and keep it running",
       .flags = {data,
                 {"model", 'm', "[NAME=]FOLDER", "", "model to load, a Hugging Face folder; the first is the default",
                  true},
                 {"listen", 0, "HOST", "127.0.0.1", "address the gateway listens on"},
                 {"port", 'p', "PORT", "8080", "port of the gateway; 0 takes a free one"},
                 {"base-port", 0, "PORT", "7100", "first port of the services behind it; 0 takes free ones"},
                 {"shards", 0, "N", "2", "vector-search processes, one shard each"},
                 {"store", 0, "URL", "", "postgresql://… instead of SQLite below the data folder"},
                 {"no-redis", 0, "", "", "do not start Redis; the cache then lives in memory alone"},
                 {"detach", 0, "", "", "return when everything is ready and leave it running"},
                 {"log-level", 0, "LEVEL", "info", "debug, info, warning or error"},
                 {"bin-dir", 0, "DIR", "", "folder of the alcove-* binaries; default: where alcovectl is"}},
       .details = "The supervisor starts what dies again. Ctrl-C, or `alcovectl down`, stops everything in order.\n\n"
                  "example:\n  alcovectl up --model .local/models/all-MiniLM-L6-v2",
       .run = RunUp},
      {.name = "down",
       .summary = "Stop the stack that runs in a data folder",
       .flags = {data, {"timeout", 0, "DURATION", "90s", "longest wait for it to stop"}},
       .run = RunDown},
      {.name = "status", .summary = "Show the state of every process", .flags = ClientFlags(), .run = RunStatus},
  };
}

}  // namespace alcove::ctl
