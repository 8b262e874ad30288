#include "services/gateway/policy/endpoint_health.h"

#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(EndpointHealth, ServesBeforeTheFirstCheck) {
  EndpointHealth health;
  EXPECT_TRUE(health.Healthy(0));
  EXPECT_FALSE(health.checked());
}

TEST(EndpointHealth, TwoFailedChecksTakeItOut) {  // LB5
  EndpointHealth health;
  health.OnCheck(false, 0);
  EXPECT_TRUE(health.Healthy(0));
  health.OnCheck(false, 2 * kSecond);
  EXPECT_FALSE(health.Healthy(2 * kSecond));
}

TEST(EndpointHealth, OnePassedCheckBringsItBack) {  // LB6: recovery within one interval
  EndpointHealth health;
  for (int i = 0; i < 10; ++i) health.OnCheck(false, i * kSecond);
  health.OnCheck(true, 11 * kSecond);
  EXPECT_TRUE(health.Healthy(11 * kSecond));
}

TEST(EndpointHealth, ConsecutiveFailedRequestsEjectForATime) {
  EndpointHealth health;
  for (int i = 0; i < 4; ++i) health.OnRequest(false, 0);
  EXPECT_TRUE(health.Healthy(0));
  health.OnRequest(false, 0);
  EXPECT_FALSE(health.Healthy(0));
  EXPECT_FALSE(health.Healthy(5 * kSecond - 1));
  EXPECT_TRUE(health.Healthy(5 * kSecond));
}

TEST(EndpointHealth, RepeatedEjectionsLastLongerAndASuccessForgives) {
  EndpointHealth health;
  for (int i = 0; i < 5; ++i) health.OnRequest(false, 0);
  for (int i = 0; i < 5; ++i) health.OnRequest(false, 6 * kSecond);
  EXPECT_TRUE(health.Ejected(15 * kSecond));
  EXPECT_FALSE(health.Ejected(16 * kSecond));
  health.OnRequest(true, 17 * kSecond);
  for (int i = 0; i < 5; ++i) health.OnRequest(false, 18 * kSecond);
  EXPECT_FALSE(health.Ejected(23 * kSecond));
}

TEST(EndpointHealth, APassedCheckEndsAnEjection) {
  EndpointHealth health;
  for (int i = 0; i < 5; ++i) health.OnRequest(false, 0);
  ASSERT_TRUE(health.Ejected(1));
  health.OnCheck(true, 1);
  EXPECT_TRUE(health.Healthy(1));
}

}  // namespace
}  // namespace alcove::gateway
