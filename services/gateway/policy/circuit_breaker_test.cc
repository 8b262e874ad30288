#include "services/gateway/policy/circuit_breaker.h"

#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

using State = CircuitBreaker::State;
constexpr int64_t kSecond = 1'000'000'000;

void Fail(CircuitBreaker& breaker, int times, int64_t now) {
  for (int i = 0; i < times; ++i) {
    ASSERT_TRUE(breaker.Acquire(now));
    breaker.OnFailure(now);
  }
}

TEST(CircuitBreaker, OpensAfterFiveFailuresAndHalfOpensAfterTheWait) {  // LB10
  CircuitBreaker breaker;
  Fail(breaker, 4, 0);
  EXPECT_EQ(breaker.state(0), State::kClosed);
  Fail(breaker, 1, 0);
  EXPECT_EQ(breaker.state(0), State::kOpen);
  EXPECT_FALSE(breaker.Acquire(5 * kSecond - 1));
  EXPECT_EQ(breaker.state(5 * kSecond), State::kHalfOpen);
  EXPECT_TRUE(breaker.Acquire(5 * kSecond));
  EXPECT_FALSE(breaker.Acquire(5 * kSecond)) << "one probe at a time";
  breaker.OnSuccess(5 * kSecond);
  EXPECT_EQ(breaker.state(5 * kSecond), State::kHalfOpen);
  EXPECT_TRUE(breaker.Acquire(5 * kSecond));
  breaker.OnSuccess(5 * kSecond);
  EXPECT_EQ(breaker.state(5 * kSecond), State::kClosed);
}

TEST(CircuitBreaker, ASuccessBetweenFailuresKeepsItClosed) {
  CircuitBreaker breaker;
  for (int i = 0; i < 20; ++i) {
    Fail(breaker, 4, 0);
    ASSERT_TRUE(breaker.Acquire(0));
    breaker.OnSuccess(0);
  }
  EXPECT_EQ(breaker.state(0), State::kClosed);
  EXPECT_EQ(breaker.opened(), 0u);
}

TEST(CircuitBreaker, AFailedProbeDoublesTheWaitUpToTheMaximum) {
  CircuitBreaker breaker({.open_for = absl::Seconds(5), .open_max = absl::Seconds(15)});
  Fail(breaker, 5, 0);
  int64_t now = 5 * kSecond;
  Fail(breaker, 1, now);
  EXPECT_FALSE(breaker.CanAcquire(now + 10 * kSecond - 1));
  EXPECT_TRUE(breaker.CanAcquire(now + 10 * kSecond));
  now += 10 * kSecond;
  Fail(breaker, 1, now);
  EXPECT_FALSE(breaker.CanAcquire(now + 15 * kSecond - 1));
  EXPECT_TRUE(breaker.CanAcquire(now + 15 * kSecond));
  EXPECT_EQ(breaker.opened(), 3u);
}

TEST(CircuitBreaker, AnAbandonedProbeMakesRoomForAnother) {
  CircuitBreaker breaker;
  Fail(breaker, 5, 0);
  ASSERT_TRUE(breaker.Acquire(6 * kSecond));
  breaker.OnAbandoned(6 * kSecond);
  EXPECT_TRUE(breaker.Acquire(6 * kSecond));
}

TEST(CircuitBreaker, RepliesFromBeforeItOpenedChangeNothing) {
  CircuitBreaker breaker;
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(breaker.Acquire(0));
  for (int i = 0; i < 5; ++i) breaker.OnFailure(0);
  breaker.OnSuccess(1);
  breaker.OnFailure(1);
  EXPECT_EQ(breaker.state(1), State::kOpen);
  EXPECT_EQ(breaker.opened(), 1u);
}

}  // namespace
}  // namespace alcove::gateway
