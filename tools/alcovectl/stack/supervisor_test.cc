#include "tools/alcovectl/stack/supervisor.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libs/common/fs.h"
#include "libs/common/net_address.h"

namespace alcove::ctl {
namespace {

using ::testing::HasSubstr;

// Supervises small shell scripts that answer like a ready Redis, in a process of its own: it owns the signals.
class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() : layout_(MakeRoot()) {
    for (const char* folder : {"logs", "run"}) std::filesystem::create_directories(layout_.root() + "/" + folder);
  }
  ~SupervisorTest() override { std::filesystem::remove_all(layout_.root()); }

  static std::string MakeRoot() {
    std::string name = (std::filesystem::temp_directory_path() / "alcove-supervisor-XXXXXX").string();
    return mkdtemp(name.data());
  }

  // A process that answers PING on its own port, and notes when it starts and stops.
  ProcessPlan Server(const std::string& name) {
    auto socket = ListenTcp({"127.0.0.1", 0});
    EXPECT_TRUE(socket.ok());
    close(socket->first);
    const std::string script = absl::StrCat(
        "import socket,signal,sys\n"
        "log=open('",
        layout_.root(),
        "/events','a')\n"
        "def stop(*_):\n log.write('stop ",
        name,
        "\\n'); log.flush(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "s.bind(('127.0.0.1',",
        socket->second,
        ")); s.listen(8)\n"
        "log.write('start ",
        name,
        "\\n'); log.flush()\n"
        "while True:\n c,_=s.accept(); c.recv(64); c.sendall(b'+PONG\\r\\n'); c.close()\n");
    ProcessPlan plan;
    plan.name = name;
    plan.command = {"/usr/bin/env", "python3", "-c", script};
    plan.address = plan.admin = absl::StrCat("127.0.0.1:", socket->second);
    plan.probe = Probe::kRedis;
    return plan;
  }

  // Runs a supervisor in a child process, which exits 0 when Run returns OK.
  pid_t Start(StackPlan plan, SupervisorOptions options) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    sigset_t handled;
    sigemptyset(&handled);
    for (int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&handled, signal);
    sigprocmask(SIG_BLOCK, &handled, nullptr);
    std::ofstream lines(layout_.root() + "/report");
    Supervisor supervisor(layout_, std::move(plan), options,
                          [&](const std::string& line) { lines << line << std::endl; });
    const absl::Status status = supervisor.Run([&] { lines << "all ready" << std::endl; });
    lines << status.ToString() << std::endl;
    _exit(status.ok() ? 0 : 1);
  }

  std::string Read(const std::string& name) const {
    std::ifstream in(layout_.root() + "/" + name);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  // Polls until the state file satisfies `predicate`; the deadline only bounds a failing test.
  template <typename Predicate>
  bool Eventually(Predicate predicate) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (absl::Now() < deadline) {
      const auto state = ReadStackState(layout_);
      if (state.ok() && predicate(*state)) return true;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  }

  static bool AllReady(const StackState& state) {
    return std::all_of(state.processes.begin(), state.processes.end(),
                       [](const auto& p) { return p.state == "ready"; });
  }

  StackLayout layout_;
};

TEST_F(SupervisorTest, StartsInOrderRestartsTheDeadAndStopsInReverse) {
  StackPlan plan;
  plan.gateway = "127.0.0.1:1";
  plan.processes = {Server("first"), Server("second")};
  SupervisorOptions options;
  options.min_backoff = absl::Milliseconds(10);
  const pid_t supervisor = Start(plan, options);
  ASSERT_TRUE(Eventually(AllReady)) << Read("report");

  const auto before = ReadStackState(layout_);
  ASSERT_TRUE(before.ok());
  kill(static_cast<pid_t>(before->processes[0].pid), SIGKILL);
  EXPECT_TRUE(Eventually([&](const StackState& state) {
    return AllReady(state) && state.processes[0].restarts == 1 && state.processes[0].pid != before->processes[0].pid;
  })) << Read("report");

  kill(supervisor, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(Read("report"), HasSubstr("signal 9"));
  const std::string events = Read("events");
  EXPECT_LT(events.find("stop second"), events.find("stop first"));
}

TEST_F(SupervisorTest, GivesUpWhenAProcessNeverGetsReady) {
  StackPlan plan;
  plan.processes = {Server("good")};
  ProcessPlan broken;
  broken.name = "broken";
  broken.command = {"/bin/false"};
  broken.admin = broken.address = "127.0.0.1:1";
  plan.processes.push_back(broken);
  SupervisorOptions options;
  options.start_timeout = absl::Seconds(3);  // long enough for the good one on a busy machine
  options.max_start_attempts = 100;
  const pid_t supervisor = Start(plan, options);
  int status = 0;
  ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Read("report"), HasSubstr("not ready after 3s: broken"));
}

TEST_F(SupervisorTest, GivesUpOnAProcessThatKeepsDyingAndShowsItsLog) {
  StackPlan plan;
  ProcessPlan broken;
  broken.name = "broken";
  broken.command = {"/bin/sh", "-c", "echo the port is taken; exit 3"};
  broken.admin = broken.address = "127.0.0.1:1";
  plan.processes = {broken};
  SupervisorOptions options;
  options.min_backoff = absl::Milliseconds(5);
  const pid_t supervisor = Start(plan, options);
  int status = 0;
  ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(Read("report"), HasSubstr("broken does not start (exit status 3)"));
  EXPECT_THAT(Read("report"), HasSubstr("  the port is taken"));
}

TEST_F(SupervisorTest, StateSurvivesARoundTripAndSaysWhenItIsDamaged) {
  StackState state;
  state.supervisor_pid = 7;
  state.gateway = "127.0.0.1:8080";
  state.processes = {{"a", 1, "x:1", "x:2", "ready", 3, "signal 9"}};
  ASSERT_TRUE(WriteStackState(layout_, state).ok());
  EXPECT_EQ(*ReadStackState(layout_), state);
  std::ofstream(layout_.State()) << "{";
  EXPECT_TRUE(absl::IsDataLoss(ReadStackState(layout_).status()));
}

}  // namespace
}  // namespace alcove::ctl
