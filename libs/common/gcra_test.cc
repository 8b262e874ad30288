#include "libs/common/gcra.h"

#include <gtest/gtest.h>

namespace alcove {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Gcra, AllowsTheBurstThenTheRate) {
  Gcra limit(10, 5);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limit.Take(1, 0).allowed) << i;
  const GcraDecision refused = limit.Take(1, 0);
  EXPECT_FALSE(refused.allowed);
  EXPECT_NEAR(static_cast<double>(refused.retry_after_ns), 1e8, 2);
  EXPECT_FALSE(limit.Take(1, refused.retry_after_ns - 2'000).allowed);
  EXPECT_TRUE(limit.Take(1, refused.retry_after_ns).allowed);
}

TEST(Gcra, HoldsTheRateOverALongTime) {
  Gcra limit(1000, 10);
  int allowed = 0;
  for (int64_t now = 0; now < 10 * kSecond; now += 100'000) allowed += limit.Take(1, now).allowed;
  EXPECT_NEAR(allowed, 10'010, 2);
}

TEST(Gcra, TellsWhatRemains) {
  Gcra limit(10, 4);
  EXPECT_NEAR(limit.Take(1, 0).remaining, 3, 1e-6);
  EXPECT_NEAR(limit.Take(2, 0).remaining, 1, 1e-6);
  EXPECT_NEAR(limit.Peek(0, kSecond / 10).remaining, 2, 1e-6);
  EXPECT_NEAR(static_cast<double>(limit.Peek(0, 0).reset_after_ns), 3e8, 2);
}

TEST(Gcra, AnIdleBucketNeverHoldsMoreThanTheBurst) {
  Gcra limit(10, 3);
  int allowed = 0;
  for (int i = 0; i < 10; ++i) allowed += limit.Take(1, 1000 * kSecond).allowed;
  EXPECT_EQ(allowed, 3);
}

TEST(Gcra, ACostAboveTheBurstIsNeverAllowed) {
  Gcra limit(10, 3);
  const GcraDecision decision = limit.Take(4, 0);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.retry_after_ns, -1);
}

TEST(Gcra, RefundsButNeverBeyondFull) {
  Gcra limit(10, 3);
  EXPECT_TRUE(limit.Take(3, 0).allowed);
  limit.Refund(2, 0);
  EXPECT_TRUE(limit.Take(2, 0).allowed);
  EXPECT_FALSE(limit.Take(1, 0).allowed);
  limit.Refund(100, 0);
  EXPECT_TRUE(limit.Take(3, 0).allowed);
  EXPECT_FALSE(limit.Take(1, 0).allowed);
}

}  // namespace
}  // namespace alcove
