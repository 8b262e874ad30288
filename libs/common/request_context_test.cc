#include "libs/common/request_context.h"

#include <atomic>
#include <thread>
#include <vector>

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove {
namespace {

class FixedClock final : public Clock {
 public:
  absl::Time Now() const override { return now; }
  int64_t MonotonicNanos() const override { return 0; }
  bool AwaitWithDeadline(absl::Mutex*, const absl::Condition& condition, absl::Time) override {
    return condition.Eval();
  }
  absl::Time now = absl::FromUnixSeconds(1'000'000);
};

TEST(Cancellation, TellsTokensAndCallbacksOnce) {
  CancellationSource source;
  const CancellationToken token = source.token();
  int calls = 0;
  const CancellationRegistration kept = token.OnCancel([&] { ++calls; });
  {
    const CancellationRegistration dropped = token.OnCancel([&] { calls += 100; });
  }
  EXPECT_FALSE(token.cancelled());
  EXPECT_TRUE(token.status().ok());
  EXPECT_TRUE(source.Cancel(absl::AbortedError("why")));
  EXPECT_FALSE(source.Cancel());
  EXPECT_TRUE(token.cancelled());
  EXPECT_EQ(token.status(), absl::AbortedError("why"));
  EXPECT_EQ(calls, 1);
  const CancellationRegistration late = token.OnCancel([&] { ++calls; });
  EXPECT_EQ(calls, 2) << "a callback on a cancelled token runs at once";
}

TEST(Cancellation, NeverCancelsADefaultToken) {
  const CancellationToken token;
  EXPECT_FALSE(token.cancelled());
  EXPECT_FALSE(token.can_be_cancelled());
  const CancellationRegistration registration = token.OnCancel([] { FAIL(); });
}

TEST(Cancellation, PassesFromParentToChildOnly) {
  CancellationSource parent;
  CancellationSource child(parent.token());
  CancellationSource other(parent.token());
  CancellationSource moved = std::move(child);
  EXPECT_TRUE(other.Cancel());
  EXPECT_FALSE(parent.token().cancelled());
  parent.Cancel(absl::AbortedError("parent"));
  EXPECT_EQ(moved.token().status(), absl::AbortedError("parent"));
}

TEST(Cancellation, WaitsForARunningCallbackBeforeForgettingIt) {
  CancellationSource source;
  absl::Notification entered;
  std::atomic<bool> finished{false};
  CancellationRegistration registration = source.token().OnCancel([&] {
    entered.Notify();
    // Long enough for the other thread to reach Reset(); its assertion holds however the threads interleave.
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    finished = true;
  });
  std::thread canceller([&] { source.Cancel(); });
  entered.WaitForNotification();
  registration.Reset();
  EXPECT_TRUE(finished);
  canceller.join();
}

TEST(Cancellation, SurvivesManyThreads) {
  for (int round = 0; round < 50; ++round) {
    CancellationSource source;
    std::atomic<int> calls{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          const CancellationRegistration registration = source.token().OnCancel([&] { ++calls; });
        }
      });
    }
    threads.emplace_back([&] { source.Cancel(); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(calls, 60);
  }
}

TEST(RequestContext, ShortensDeadlinesOnly) {
  FixedClock clock;
  const RequestContext background;
  EXPECT_FALSE(background.has_deadline());
  EXPECT_EQ(background.Remaining(clock), absl::InfiniteDuration());
  const RequestContext ctx = background.WithTimeout(absl::Seconds(10), clock);
  EXPECT_EQ(ctx.Remaining(clock), absl::Seconds(10));
  EXPECT_EQ(ctx.WithTimeout(absl::Seconds(60), clock).deadline(), ctx.deadline());
  EXPECT_EQ(ctx.WithTimeout(absl::Seconds(1), clock).Remaining(clock), absl::Seconds(1));
  clock.now += absl::Seconds(11);
  EXPECT_EQ(ctx.Remaining(clock), absl::ZeroDuration());
  EXPECT_EQ(ctx.Check(clock).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(RequestContext, ReportsCancellationBeforeLateness) {
  FixedClock clock;
  CancellationSource source;
  const RequestContext ctx = RequestContext().WithTimeout(absl::Seconds(-1), clock).WithCancellation(source.token());
  EXPECT_EQ(ctx.Check(clock).code(), absl::StatusCode::kDeadlineExceeded);
  source.Cancel();
  EXPECT_EQ(ctx.Check(clock).code(), absl::StatusCode::kCancelled);
}

TEST(RequestContext, KeepsItsIdentityInAChildSpan) {
  const RequestContext ctx({"acme", "req", "key", NewTrace(true)}, absl::InfiniteFuture(), {}, Criticality::kHigh);
  const RequestContext child = ctx.WithChildSpan();
  EXPECT_EQ(child.tenant(), "acme");
  EXPECT_EQ(child.criticality(), Criticality::kHigh);
  EXPECT_EQ(child.trace().trace_id, ctx.trace().trace_id);
  EXPECT_NE(child.trace().span_id, ctx.trace().span_id);
  EXPECT_TRUE(child.trace().sampled());
}

TEST(Criticality, IsNamedBothWays) {
  for (const Criticality c : {Criticality::kCritical, Criticality::kHigh, Criticality::kNormal, Criticality::kLow}) {
    EXPECT_EQ(ParseCriticality(CriticalityName(c)), c);
  }
  EXPECT_FALSE(ParseCriticality("urgent"));
}

constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Trace, ReadsAndWritesTraceparent) {
  const auto trace = ParseTraceparent(kParent);
  ASSERT_TRUE(trace);
  EXPECT_TRUE(trace->sampled());
  EXPECT_EQ(trace->trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(FormatTraceparent(*trace), kParent);
  EXPECT_TRUE(ParseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings"));
  EXPECT_EQ(FormatTraceparent({}), "");
}

TEST(Trace, TreatsMalformedTraceparentAsAbsent) {
  for (const char* wrong : {
           "",
           "00",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
           "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.extra",
       }) {
    EXPECT_FALSE(ParseTraceparent(wrong)) << wrong;
  }
}

TEST(Trace, CleansTracestate) {
  EXPECT_EQ(SanitizeTracestate(" rojo=00f067aa0ba902b7 ,congo=t61rcWkgMzE,, 1t@sys=x"),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,1t@sys=x");
  for (const char* wrong : {"noequals", "UP=1", "a=1,a=2", "a=", "a=b=c", "1a=x", "a=\x01", "a@=1", "@a=1"}) {
    EXPECT_EQ(SanitizeTracestate(wrong), "") << wrong;
  }
  std::string many;
  for (int i = 0; i < 40; ++i) many += "k" + std::to_string(i) + "=v,";
  const std::string kept = SanitizeTracestate(many);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '='), 32);
  EXPECT_EQ(SanitizeTracestate("a=1,b=" + std::string(256, 'x') + ",c=" + std::string(256, 'y')),
            "a=1,b=" + std::string(256, 'x'));
}

TEST(Trace, MakesDistinctIds) {
  const TraceContext a = NewTrace();
  EXPECT_TRUE(a.valid());
  EXPECT_FALSE(a.sampled());
  EXPECT_NE(a.trace_id, NewTrace().trace_id);
  EXPECT_TRUE(ChildSpan({}).valid());
  EXPECT_NE(NewRequestId(), NewRequestId());
  EXPECT_EQ(NewRequestId().size(), 32u);
}

}  // namespace
}  // namespace alcove
