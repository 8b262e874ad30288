#include "libs/common/log.h"

#include <limits>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/common/text.h"

namespace alcove {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// Logs into a pipe.
class Log : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0); }
  void TearDown() override {
    InitLogging({});
    close(pipe_[0]);
    close(pipe_[1]);
  }
  void Use(LogFormat format, LogLevel level = LogLevel::kInfo) {
    LogOptions options;
    options.format = format;
    options.level = level;
    options.service = "svc";
    options.fd = pipe_[1];
    InitLogging(options);
  }
  std::string Read() {
    std::string out;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(pipe_[0], buffer, sizeof(buffer))) > 0;)
      out.append(buffer, static_cast<size_t>(got));
    return out;
  }
  int pipe_[2] = {-1, -1};
};

TEST_F(Log, WritesTextForPeople) {
  Use(LogFormat::kText);
  LogInfo("listening", {{"address", "127.0.0.1:80"}, {"threads", 4}, {"odd", "two words"}, {"on", true}});
  EXPECT_THAT(Read(), MatchesRegex("20..-..-..T..:..:......Z INFO  listening  address=127.0.0.1:80  threads=4  "
                                   "odd=\"two words\"  on=true  service=svc\n"));
}

TEST_F(Log, WritesOneJsonObjectPerLine) {
  Use(LogFormat::kJson);
  LogWarning("bad\n\"bytes\xff", {{"n", -1},
                                  {"big", std::numeric_limits<uint64_t>::max()},
                                  {"x", 0.5},
                                  {"nan", std::numeric_limits<double>::quiet_NaN()},
                                  {"took", absl::Microseconds(1500)},
                                  {"error", absl::NotFoundError("gone")}});
  const std::string line = Read();
  EXPECT_THAT(line, HasSubstr("\"level\":\"warning\",\"message\":\"bad\\n\\\"bytes\xef\xbf\xbd\",\"n\":-1,"
                              "\"big\":18446744073709551615,\"x\":0.5,\"nan\":\"nan\",\"took\":\"1.5ms\","
                              "\"error\":\"NOT_FOUND: gone\",\"service\":\"svc\"}\n"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST_F(Log, AddsTheIdsOfARequest) {
  Use(LogFormat::kJson);
  const RequestContext ctx({"acme", "req-1", "key", NewTrace()});
  LogError(ctx, "failed");
  const std::string line = Read();
  EXPECT_THAT(line, HasSubstr("\"request_id\":\"req-1\",\"tenant\":\"acme\",\"trace_id\":\"" +
                              ctx.trace().trace_id_hex() + "\",\"span_id\":"));
}

TEST_F(Log, LeavesOutLowerLevels) {
  Use(LogFormat::kText, LogLevel::kError);
  LogWarning("quiet");
  LogError("loud");
  EXPECT_THAT(Read(), Not(HasSubstr("quiet")));
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
}

TEST_F(Log, CutsLongValuesAndKeepsOneLine) {
  Use(LogFormat::kText);
  LogInfo("line\nbreak", {{"long", std::string(100'000, 'x')}});
  const std::string line = Read();
  EXPECT_LT(line.size(), 10'000u);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_TRUE(IsValidUtf8(line));
}

TEST_F(Log, DropsLinesInsteadOfBlockingWhenNobodyReads) {
  Use(LogFormat::kText);
  const uint64_t before = DroppedLogLines();
  // A pipe holds 64 KiB or so.
  for (int i = 0; i < 200; ++i) LogInfo("filling", {{"x", std::string(4000, 'y')}});
  EXPECT_GT(DroppedLogLines(), before);
  (void)Read();
  LogInfo("back again");
  EXPECT_THAT(Read(), HasSubstr("back again"));
}

TEST_F(Log, KeepsLinesWholeFromManyThreads) {
  Use(LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) LogInfo("m", {{"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string all = Read();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 200);
  EXPECT_EQ(std::count(all.begin(), all.end(), '{'), 200);
}

class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixNanos(nanos); }
  int64_t MonotonicNanos() const override { return nanos; }
  bool AwaitWithDeadline(absl::Mutex*, const absl::Condition& condition, absl::Time) override {
    return condition.Eval();
  }
  int64_t nanos = 1'000'000'000;
};

TEST(LogLimiter, AllowsOneLinePerIntervalAndCountsTheRest) {
  ManualClock clock;
  LogLimiter limiter(absl::Seconds(10), &clock);
  uint64_t skipped = 99;
  EXPECT_TRUE(limiter.Allow(&skipped));
  EXPECT_EQ(skipped, 0u);
  EXPECT_FALSE(limiter.Allow());
  EXPECT_FALSE(limiter.Allow());
  clock.nanos += 10'000'000'000;
  EXPECT_TRUE(limiter.Allow(&skipped));
  EXPECT_EQ(skipped, 2u);
}

TEST(LogLevel, IsNamedBothWays) {
  EXPECT_EQ(ParseLogLevel("warn"), LogLevel::kWarning);
  EXPECT_EQ(ParseLogLevel(LogLevelName(LogLevel::kDebug)), LogLevel::kDebug);
  EXPECT_FALSE(ParseLogLevel("verbose"));
  EXPECT_EQ(ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_FALSE(ParseLogFormat("xml"));
}

}  // namespace
}  // namespace alcove
