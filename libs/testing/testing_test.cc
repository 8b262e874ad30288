#include <csignal>
#include <thread>

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/testing/child_process.h"
#include "libs/testing/fake_clock.h"
#include "libs/testing/postgres_fixture.h"
#include "libs/testing/redis_fixture.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(FakeClock, WakesAWaiterWhenTimeReachesItsDeadline) {
  FakeClock clock;
  absl::Mutex mu;
  bool flag = false;
  absl::Notification done;
  std::thread waiter([&] {
    absl::MutexLock lock(&mu);
    EXPECT_FALSE(clock.AwaitWithTimeout(&mu, absl::Condition(&flag), absl::Hours(1)));
    done.Notify();
  });
  ASSERT_TRUE(clock.WaitForWaiters(1));
  clock.Advance(absl::Minutes(59));
  EXPECT_FALSE(done.HasBeenNotified());
  clock.Advance(absl::Minutes(1));
  waiter.join();
  EXPECT_TRUE(done.HasBeenNotified());
}

TEST(FakeClock, ReturnsAtOnceWhenTheConditionHolds) {
  FakeClock clock;
  absl::Mutex mu;
  bool flag = true;
  absl::MutexLock lock(&mu);
  EXPECT_TRUE(clock.AwaitWithTimeout(&mu, absl::Condition(&flag), absl::ZeroDuration()));
}

TEST(FakeClock, KeepsMonotonicTimeWhenTheWallClockJumps) {
  FakeClock clock;
  const int64_t before = clock.MonotonicNanos();
  clock.JumpTo(clock.Now() - absl::Hours(5));
  EXPECT_EQ(clock.MonotonicNanos(), before);
}

TEST(StatusMatchers, TellStatusesApart) {
  EXPECT_THAT(absl::OkStatus(), IsOk());
  EXPECT_THAT(absl::InternalError("x"), Not(IsOk()));
  EXPECT_THAT(absl::StatusOr<int>(3), IsOkAndHolds(3));
  EXPECT_THAT(absl::StatusOr<int>(3), Not(IsOkAndHolds(4)));
  EXPECT_THAT(absl::StatusOr<int>(absl::NotFoundError("no such thing")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("such")));
  EXPECT_THAT(absl::NotFoundError("x"), Not(StatusIs(absl::StatusCode::kAborted)));
}

TEST(TempDir, RemovesItsFolder) {
  std::string path;
  {
    TempDir folder;
    path = folder.path();
    EXPECT_EQ(access(path.c_str(), F_OK), 0);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(ChildProcess, ShowsOutputEnvironmentAndExitCode) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(
      const auto child,
      ChildProcess::Start({"sh", {"-c", "echo value=$ALCOVE_TEST; exit 7"}, {{"ALCOVE_TEST", "blue"}}, "", {}, {}}));
  EXPECT_THAT(child->WaitForLine("value"), IsOkAndHolds(std::string("value=blue")));
  EXPECT_THAT(child->WaitForExit(), IsOkAndHolds(7));
  EXPECT_THAT(child->WaitForLine("never"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("value=blue")));
}

TEST(ChildProcess, SaysWhenThereIsNoSuchProgram) {
  EXPECT_THAT(ChildProcess::Start({"no-such-program-here", {}, {}, "", {}, {}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no-such-program-here")));
  EXPECT_THAT(FindProgram({"no-such-program-here"}, {"/usr/lib/*/bin"}, "some-package"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("Debian package some-package")));
}

TEST(ChildProcess, StopsKillsAndReapsGrandchildren) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(auto child,
                              ChildProcess::Start({"sh", {"-c", "sleep 1000 & echo kid=$!; wait"}, {}, "", {}, {}}));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, child->WaitForLine("kid="));
  const pid_t grandchild = std::stoi(line.substr(4));
  EXPECT_TRUE(child->Running());
  EXPECT_THAT(child->Stop(), IsOkAndHolds(128 + SIGTERM));
  EXPECT_EQ(kill(grandchild, 0), 0) << "a stopped shell leaves its child behind";
  child = nullptr;
  // The grandchild is killed, which takes a moment on a busy machine, and reaped by init or a zombie of it.
  const auto state = [&] {
    return RunProgram({"ps", {"-o", "stat=", "-p", line.substr(4)}, {}, "", {}, {}}).value_or("");
  };
  std::string last = state();
  for (const absl::Time end = absl::Now() + absl::Seconds(20); !last.empty() && last[0] != 'Z' && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(5));
    last = state();
  }
  EXPECT_TRUE(last.empty() || last[0] == 'Z') << last;
}

TEST(ChildProcess, SaysWhenAProgramDoesNotEndInTime) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, ChildProcess::Start({"sleep", {"1000"}, {}, "", {}, {}}));
  EXPECT_THAT(child->WaitForExit(absl::Milliseconds(20)), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(RedisFixture, AnswersForgetsOnKillAndComesBack) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto redis, RedisFixture::Start());
  EXPECT_THAT(redis->Command("SET a b"), IsOkAndHolds(std::string("+OK\r\n")));
  EXPECT_THAT(redis->Command("GET a"), IsOkAndHolds(std::string("$1\r\nb\r\n")));
  redis->Kill();
  EXPECT_THAT(redis->Command("GET a"), Not(IsOk()));
  ALCOVE_ASSERT_OK(redis->Restart());
  EXPECT_THAT(redis->Command("GET a"), IsOkAndHolds(std::string("$-1\r\n")));
}

TEST(PostgresFixture, MakesDatabasesAndRecoversFromAKill) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto postgres, PostgresFixture::Start());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string url, postgres->NewDatabase());
  const auto query = [&](const std::string& sql) {
    return RunProgram({"psql", {"-X", "-A", "-t", url, "-c", sql}, {}, "", {}, {}});
  };
  ALCOVE_ASSERT_OK(query("CREATE TABLE t (x int); INSERT INTO t VALUES (42)"));
  postgres->Kill();
  EXPECT_THAT(query("SELECT 1"), Not(IsOk()));
  ALCOVE_ASSERT_OK(postgres->Restart());
  EXPECT_THAT(query("SELECT x FROM t"), IsOkAndHolds(std::string("42\n")));
}

}  // namespace
}  // namespace alcove::testing
