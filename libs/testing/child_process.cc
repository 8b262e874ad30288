#include "libs/testing/child_process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"

extern char** environ;

namespace alcove::testing {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(5);
constexpr size_t kMaxOutput = size_t{64} << 20;

bool IsProgram(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::string LookUp(const std::string& name) {
  if (absl::StrContains(name, '/')) return name;
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    std::string candidate = absl::StrCat(folder, "/", name);
    if (IsProgram(candidate)) return candidate;
  }
  return name;
}

}  // namespace

ChildProcess::ChildProcess(ChildOptions options, TempDir folder)
    : options_(std::move(options)), folder_(std::move(folder)) {}

ChildProcess::~ChildProcess() { Kill(); }

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(ChildOptions options) {
  std::unique_ptr<ChildProcess> child(new ChildProcess(std::move(options), TempDir("alcove-child")));
  ALCOVE_RETURN_IF_ERROR(child->Launch());
  return child;
}

absl::Status ChildProcess::Launch() {
  const std::string binary = LookUp(options_.binary);
  if (!IsProgram(binary)) return absl::NotFoundError(absl::StrCat("no program ", options_.binary));

  // Everything the child needs is prepared here: between fork and exec only system calls are safe.
  std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
  for (const std::string& arg : options_.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const absl::string_view name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(options_.environment.begin(), options_.environment.end(),
                                      [&](const auto& variable) { return variable.first == name; });
    if (!replaced) environment.emplace_back(text);
  }
  for (const auto& [name, value] : options_.environment) environment.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> envp;
  for (std::string& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);

  const int output = open(folder_.File("output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) return ErrnoStatus(errno, "cannot create the child's output file");
  const absl::Cleanup close_output = [output] { close(output); };
  int failure[2];  // carries errno when exec fails; closes without a word when it works
  if (pipe2(failure, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");

  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    setpgid(0, 0);
    const int null = open("/dev/null", O_RDONLY);
    bool ok = null >= 0 && dup2(null, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0;
    if (options_.group) ok = ok && setgroups(0, nullptr) == 0 && setgid(*options_.group) == 0;
    if (options_.user) ok = ok && setuid(*options_.user) == 0;
    if (!options_.directory.empty()) ok = ok && chdir(options_.directory.c_str()) == 0;
    // After the change of user, which would forget it. The parent may be gone already.
    ok = ok && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
    signal(SIGPIPE, SIG_DFL);
    if (ok) execve(binary.c_str(), argv.data(), envp.data());
    const int error = errno;
    (void)!write(failure[1], &error, sizeof(error));
    _exit(127);
  }
  close(failure[1]);
  const absl::Cleanup close_failure = [&] { close(failure[0]); };
  if (pid_ < 0) return ErrnoStatus(errno, "fork");
  int error = 0;
  if (read(failure[0], &error, sizeof(error)) == static_cast<ssize_t>(sizeof(error))) {
    Reap(true);
    return ErrnoStatus(error, absl::StrCat("cannot start ", binary));
  }
  return absl::OkStatus();
}

bool ChildProcess::Reap(bool block) {
  if (exit_code_) return true;
  int status = 0;
  pid_t got = 0;
  do {
    got = waitpid(pid_, &status, block ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  exit_code_ = got < 0 ? -1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

bool ChildProcess::Running() { return !Reap(false); }

std::string ChildProcess::Output() const {
  const absl::StatusOr<std::string> output = ReadFile(folder_.File("output"), kMaxOutput);
  return output.ok() ? *output : output.status().ToString();
}

std::string ChildProcess::Tail() const {
  const std::string output = Output();
  return absl::StrCat("; its output ends with:\n", output.substr(output.size() > 2000 ? output.size() - 2000 : 0));
}

absl::StatusOr<std::string> ChildProcess::WaitForLine(const std::string& text, absl::Duration limit) {
  const absl::Time give_up = absl::Now() + limit;
  while (true) {
    const bool running = Running();
    const std::string output = Output();
    for (const absl::string_view line : absl::StrSplit(output, '\n')) {
      if (absl::StrContains(line, text)) return std::string(line);
    }
    if (!running) {
      return absl::FailedPreconditionError(
          absl::StrCat(options_.binary, " ended with code ", *exit_code_, " before it wrote \"", text, "\"", Tail()));
    }
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(absl::StrCat(options_.binary, " did not write \"", text, "\"", Tail()));
    }
    absl::SleepFor(kPoll);
  }
}

absl::Status ChildProcess::WaitForHttp(uint16_t port, const std::string& path, absl::Duration limit) {
  const absl::Time give_up = absl::Now() + limit;
  while (true) {
    const auto reply = HttpGet(port, path, "", absl::Seconds(2));
    if (reply.ok() && reply->first == 200) return absl::OkStatus();
    const std::string last = reply.ok() ? absl::StrCat("HTTP ", reply->first) : std::string(reply.status().message());
    if (!Running()) {
      return absl::FailedPreconditionError(absl::StrCat(options_.binary, " ended with code ", *exit_code_, Tail()));
    }
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat(options_.binary, " did not answer on port ", port, path, ": ", last, Tail()));
    }
    absl::SleepFor(kPoll);
  }
}

void ChildProcess::Signal(int signal_number) {
  if (Running()) kill(pid_, signal_number);
}
void ChildProcess::Freeze() { Signal(SIGSTOP); }
void ChildProcess::Thaw() { Signal(SIGCONT); }

void ChildProcess::Kill() {
  if (pid_ <= 0) return;
  // The group also after the program itself is gone: it may have left children behind. Once the group is empty its
  // number could be used again, so this happens once.
  kill(-pid_, SIGKILL);
  Reap(true);
  pid_ = -1;
}

absl::StatusOr<int> ChildProcess::Stop(absl::Duration limit) {
  Signal(SIGTERM);
  return WaitForExit(limit);
}

absl::StatusOr<int> ChildProcess::WaitForExit(absl::Duration limit) {
  const absl::Time give_up = absl::Now() + limit;
  while (!Reap(false)) {
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat(options_.binary, " did not end within ", absl::FormatDuration(limit), Tail()));
    }
    absl::SleepFor(kPoll);
  }
  return *exit_code_;
}

absl::StatusOr<std::string> RunProgram(ChildOptions options, absl::Duration limit) {
  const std::string name = options.binary;
  ALCOVE_ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> child, ChildProcess::Start(std::move(options)));
  ALCOVE_ASSIGN_OR_RETURN(const int code, child->WaitForExit(limit));
  if (code != 0) return absl::UnknownError(absl::StrCat(name, " ended with code ", code, ":\n", child->Output()));
  return child->Output();
}

absl::StatusOr<std::string> FindProgram(const std::vector<std::string>& names, const std::vector<std::string>& folders,
                                        const std::string& package) {
  std::vector<std::string> places;
  for (const std::string& folder : folders) {
    const size_t star = folder.find("/*/");
    if (star == std::string::npos) {
      places.push_back(folder);
      continue;
    }
    std::error_code ignored;
    std::vector<std::string> versions;
    for (const auto& entry : std::filesystem::directory_iterator(folder.substr(0, star), ignored)) {
      versions.push_back(entry.path().string() + folder.substr(star + 2));
    }
    std::sort(versions.rbegin(), versions.rend());
    places.insert(places.end(), versions.begin(), versions.end());
  }
  for (const std::string& name : names) {
    for (const std::string& place : places) {
      if (IsProgram(place + "/" + name)) return place + "/" + name;
    }
    if (const std::string found = LookUp(name); absl::StrContains(found, '/')) return found;
  }
  return absl::NotFoundError(absl::StrCat("the program ", absl::StrJoin(names, " or "),
                                          " is not installed; this test needs the Debian package ", package));
}

absl::StatusOr<std::pair<int, std::string>> HttpGet(uint16_t port, const std::string& path,
                                                    const std::string& extra_headers, absl::Duration limit) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "socket");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  const timeval timeout = absl::ToTimeval(limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot connect to port ", port));
  }
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", extra_headers, "\r\n");
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return ErrnoStatus(errno, "cannot send");
  }
  std::string reply;
  char buffer[4096];
  while (true) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::UnavailableError("no reply in time");
    if (got == 0) break;
    reply.append(buffer, static_cast<size_t>(got));
  }
  const size_t head_end = reply.find("\r\n\r\n");
  int status = 0;
  if (!absl::StartsWith(reply, "HTTP/1.1 ") || head_end == std::string::npos ||
      !absl::SimpleAtoi(reply.substr(9, 3), &status)) {
    return absl::UnavailableError("the reply is not HTTP");
  }
  return std::pair<int, std::string>(status, reply.substr(head_end + 4));
}

}  // namespace alcove::testing
