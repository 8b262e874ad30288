#include "services/gateway/policy/retry.h"

#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
const RetryPolicy kPolicy;

TEST(RetryPolicy, RepeatsWhatCertainlyDidNotRunAtOnce) {
  const AttemptOutcome refused{.code = absl::StatusCode::kUnavailable, .unprocessed = true};
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, false, refused, 1), absl::ZeroDuration());
  EXPECT_TRUE(NextAttemptDelay(kPolicy, 2, false, refused, 1).has_value());
  EXPECT_EQ(NextAttemptDelay(kPolicy, 3, false, refused, 1), std::nullopt);
}

TEST(RetryPolicy, RepeatsUnavailableOnlyForIdempotentCalls) {
  const AttemptOutcome unavailable{.code = absl::StatusCode::kUnavailable};
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, false, unavailable, 1), std::nullopt);
  EXPECT_TRUE(NextAttemptDelay(kPolicy, 1, true, unavailable, 1).has_value());
  const AttemptOutcome invalid{.code = absl::StatusCode::kInvalidArgument};
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, true, invalid, 1), std::nullopt);
}

TEST(RetryPolicy, NeverRepeatsOnceTheResponseBegan) {
  const AttemptOutcome begun{.code = absl::StatusCode::kUnavailable, .unprocessed = true, .response_started = true};
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, true, begun, 1), std::nullopt);
}

TEST(RetryPolicy, BacksOffWithJitterUnderACeiling) {
  const AttemptOutcome unavailable{.code = absl::StatusCode::kUnavailable};
  RetryPolicy policy{.max_attempts = 10};
  EXPECT_EQ(NextAttemptDelay(policy, 1, true, unavailable, 0), absl::ZeroDuration());
  EXPECT_LE(*NextAttemptDelay(policy, 1, true, unavailable, ~0ull), absl::Milliseconds(20));
  EXPECT_GT(*NextAttemptDelay(policy, 1, true, unavailable, ~0ull), absl::Milliseconds(19));
  EXPECT_GT(*NextAttemptDelay(policy, 3, true, unavailable, ~0ull), absl::Milliseconds(79));
  EXPECT_LE(*NextAttemptDelay(policy, 9, true, unavailable, ~0ull), absl::Seconds(1));
}

TEST(RetryPolicy, ObeysPushback) {
  AttemptOutcome outcome{.code = absl::StatusCode::kUnavailable};
  outcome.pushback = "1500";
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, true, outcome, 1), absl::Milliseconds(1500));
  outcome.pushback = "-1";
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, true, outcome, 1), std::nullopt);
  outcome.pushback = "soon";
  EXPECT_EQ(NextAttemptDelay(kPolicy, 1, true, outcome, 1), std::nullopt);
}

TEST(RetryBudget, HoldsAmplificationToATenthInAFailureStorm) {
  RetryBudget budget;
  int retries = 0;
  constexpr int kRequests = 10'000;
  for (int i = 0; i < kRequests; ++i) {
    const int64_t now = 1 + i * (kSecond / 1000);  // 1,000 requests/s
    budget.OnRequest(now);
    for (int attempt = 0; attempt < 2; ++attempt) retries += budget.TryRetry(now);
  }
  EXPECT_LT(retries, kRequests * 0.11 + 20);
  EXPECT_GT(retries, kRequests * 0.09);
}

TEST(RetryBudget, AQuietServiceMayStillRetry) {
  RetryBudget budget;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.TryRetry(1));
  EXPECT_FALSE(budget.TryRetry(1));
  EXPECT_TRUE(budget.TryRetry(1 + 2 * kSecond));
}

}  // namespace
}  // namespace alcove::gateway
