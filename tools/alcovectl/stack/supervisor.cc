#include "tools/alcovectl/stack/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libs/common/status.h"
#include "tools/alcovectl/stack/probe.h"

namespace alcove::ctl {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kProbeTimeout = absl::Milliseconds(250);
constexpr off_t kMaxLogBytes = 32 << 20;

std::string DescribeExit(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  return absl::StrCat("exit status ", WEXITSTATUS(status));
}

// One older log is kept.
void RotateLog(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && info.st_size > kMaxLogBytes) rename(path.c_str(), (path + ".1").c_str());
}

// The last lines of a log, indented.
std::string LogTail(const std::string& path) {
  constexpr std::streamoff kBytes = 1500;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(0, size - kBytes));
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (size > kBytes) text.erase(0, text.find('\n') + 1);
  return absl::StrCat("  ", absl::StrReplaceAll(absl::StripTrailingAsciiWhitespace(text), {{"\n", "\n  "}}));
}

}  // namespace

Supervisor::Supervisor(StackLayout layout, StackPlan plan, SupervisorOptions options,
                       std::function<void(const std::string&)> report)
    : layout_(std::move(layout)), options_(options), gateway_(plan.gateway), report_(std::move(report)) {
  for (ProcessPlan& process : plan.processes) {
    Child& child = children_.emplace_back();
    child.plan = std::move(process);
    child.backoff = options_.min_backoff;
  }
}

absl::Status Supervisor::Start(Child& child) {
  const std::string log = layout_.Log(child.plan.name);
  RotateLog(log);
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (output < 0) return ErrnoStatus(errno, log);
  const absl::Cleanup closer = [output] { close(output); };

  std::vector<char*> argv;
  for (std::string& word : child.plan.command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    // Between fork and exec only async-signal-safe calls.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    setpgid(0, 0);  // a terminal's Ctrl-C reaches the supervisor alone, which then stops the others in order
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  child.pid = pid;
  child.ready = false;
  child.started_at = absl::Now();
  child.restart_at = absl::InfiniteFuture();
  return absl::OkStatus();
}

void Supervisor::Reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto it = std::find_if(children_.begin(), children_.end(), [pid](const Child& c) { return c.pid == pid; });
    if (it == children_.end()) continue;
    Child& child = *it;
    child.pid = 0;
    if (!child.ready) ++child.deaths_before_ready;
    child.ready = false;
    child.last_exit = DescribeExit(status);
    if (stopping_) continue;
    if (absl::Now() - child.started_at > options_.stable_after) child.backoff = options_.min_backoff;
    child.restart_at = absl::Now() + child.backoff;
    report_(absl::StrFormat("%-16s ended with %s; starting it again in %s (log: %s)", child.plan.name, child.last_exit,
                            absl::FormatDuration(child.backoff), layout_.Log(child.plan.name)));
    child.backoff = std::min(child.backoff * 2, options_.max_backoff);
  }
}

void Supervisor::ProbeStarting() {
  for (Child& child : children_) {
    if (child.pid == 0 || child.ready) continue;
    if (!IsReady(child.plan.admin, child.plan.probe, kProbeTimeout)) continue;
    child.ready = true;
    child.deaths_before_ready = 0;
    report_(absl::StrFormat("%-16s ready at %s after %.1f s", child.plan.name, child.plan.address,
                            absl::ToDoubleSeconds(absl::Now() - child.started_at)));
  }
}

void Supervisor::RestartDue() {
  for (Child& child : children_) {
    if (child.pid != 0 || absl::Now() < child.restart_at) continue;
    ++child.restarts;
    const absl::Status started = Start(child);
    if (!started.ok()) {
      child.restart_at = absl::Now() + child.backoff;
      report_(absl::StrFormat("%-16s cannot be started: %s", child.plan.name, std::string(started.message())));
    }
  }
}

bool Supervisor::AllReady() const {
  return std::all_of(children_.begin(), children_.end(), [](const Child& child) { return child.ready; });
}

absl::Status Supervisor::StartupFailure(absl::Time give_up) const {
  std::string waiting;
  for (const Child& child : children_) {
    if (child.deaths_before_ready >= options_.max_start_attempts) {
      return absl::UnavailableError(absl::StrCat(child.plan.name, " does not start (", child.last_exit,
                                                 "); its log ends with\n", LogTail(layout_.Log(child.plan.name))));
    }
    if (!child.ready) absl::StrAppend(&waiting, " ", child.plan.name, " (log: ", layout_.Log(child.plan.name), ")");
  }
  if (absl::Now() < give_up) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("not ready after ", absl::FormatDuration(options_.start_timeout), ":", waiting));
}

void Supervisor::Publish() {
  StackState state;
  state.supervisor_pid = getpid();
  state.gateway = gateway_;
  for (const Child& child : children_) {
    const char* text = child.ready ? "ready" : child.pid != 0 ? "starting" : stopping_ ? "stopped" : "restarting";
    state.processes.push_back(
        {child.plan.name, child.pid, child.plan.address, child.plan.admin, text, child.restarts, child.last_exit});
  }
  if (state == published_) return;
  const absl::Status written = WriteStackState(layout_, state);
  if (!written.ok()) report_(absl::StrCat("the state of the stack could not be written: ", written.message()));
  published_ = std::move(state);
}

void Supervisor::StopAll() {
  stopping_ = true;
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (child->pid == 0) continue;
    kill(child->pid, SIGTERM);
    const absl::Time deadline = absl::Now() + options_.stop_timeout;
    while (child->pid != 0 && absl::Now() < deadline) {
      Reap();
      if (child->pid != 0) absl::SleepFor(absl::Milliseconds(10));
    }
    if (child->pid != 0) {
      report_(absl::StrFormat("%-16s did not stop within %s; killing it", child->plan.name,
                              absl::FormatDuration(options_.stop_timeout)));
      kill(child->pid, SIGKILL);
      while (child->pid != 0) {
        Reap();
        if (child->pid != 0) absl::SleepFor(absl::Milliseconds(10));
      }
    }
    report_(absl::StrFormat("%-16s stopped (%s)", child->plan.name, child->last_exit));
  }
  Publish();
}

absl::Status Supervisor::Run(const std::function<void()>& on_ready) {
  sigset_t handled;
  sigemptyset(&handled);
  for (int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&handled, signal);
  const int signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return ErrnoStatus(errno, "signalfd");
  const absl::Cleanup closer = [signals] { close(signals); };

  for (Child& child : children_) {
    const absl::Status started = Start(child);
    if (!started.ok()) {
      StopAll();
      return Annotate(started, absl::StrCat("starting ", child.plan.name));
    }
  }
  const absl::Time give_up = absl::Now() + options_.start_timeout;
  bool announced = false;
  for (;;) {
    pollfd entry{signals, POLLIN, 0};
    poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(kTick)));
    bool asked_to_stop = false;
    signalfd_siginfo info;
    while (read(signals, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo != SIGCHLD) asked_to_stop = true;
    }
    Reap();
    if (asked_to_stop) break;
    RestartDue();
    ProbeStarting();
    Publish();
    if (!announced && AllReady()) {
      announced = true;
      on_ready();
    }
    if (!announced) {
      const absl::Status failure = StartupFailure(give_up);
      if (!failure.ok()) {
        StopAll();
        return failure;
      }
    }
  }
  StopAll();
  return absl::OkStatus();
}

}  // namespace alcove::ctl
