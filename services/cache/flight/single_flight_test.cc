#include "services/cache/flight/single_flight.h"

#include <atomic>
#include <thread>

#include <absl/synchronization/blocking_counter.h>
#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "libs/testing/fake_clock.h"

namespace alcove::cache {
namespace {

using alcove::testing::FakeClock;

CachedValue Value(const std::string& text) {
  CachedValue value;
  value.value = std::make_shared<const std::string>(text);
  value.expires = absl::InfiniteFuture();
  return value;
}

class SingleFlightTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  SingleFlight flights_{&clock_, absl::Seconds(10)};
  const absl::Time soon_ = clock_.Now() + absl::Seconds(5);

  std::string Lead(const std::string& key) {
    std::string lease;
    EXPECT_EQ(flights_.Join(key, soon_, [&](FlightResult result) { lease = result.lease; }), 0u);
    EXPECT_FALSE(lease.empty());
    return lease;
  }
};

TEST_F(SingleFlightTest, GivesTheLeadersValueToEveryoneWhoWaits) {
  const std::string lease = Lead("k");
  int values = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(flights_.Join("k", soon_, [&](FlightResult result) { values += *result.value->value == "v"; }), 0u);
  }
  EXPECT_TRUE(flights_.Complete("k", lease, Value("v")).has_value());
  EXPECT_EQ(values, 100);
  EXPECT_EQ(flights_.flights(), 0u);
}

TEST_F(SingleFlightTest, KeysDoNotWaitForOneAnother) {
  Lead("a");
  Lead("b");
  EXPECT_EQ(flights_.flights(), 2u);
}

TEST_F(SingleFlightTest, ReleasePassesTheLeadToTheFirstWhoWaits) {
  const std::string first = Lead("k");
  std::string second;
  std::string value;
  flights_.Join("k", soon_, [&](FlightResult result) { second = result.lease; });
  flights_.Join("k", soon_, [&](FlightResult result) { value = *result.value->value; });
  EXPECT_TRUE(flights_.Release("k", first));
  ASSERT_FALSE(second.empty());
  EXPECT_FALSE(flights_.Complete("k", first, Value("stale")).has_value());
  EXPECT_TRUE(flights_.Complete("k", second, Value("fresh")).has_value());
  EXPECT_EQ(value, "fresh");
}

TEST_F(SingleFlightTest, ALeaseThatRunsOutPassesTheLeadOn) {
  Lead("k");
  absl::Notification led;
  std::string second;
  flights_.Join("k", clock_.Now() + absl::Seconds(60), [&](FlightResult result) {
    second = result.lease;
    led.Notify();
  });
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Seconds(11));
  ASSERT_TRUE(led.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_FALSE(second.empty());
  EXPECT_EQ(flights_.leases_expired(), 1u);
}

TEST_F(SingleFlightTest, AWaitEndsAtItsDeadline) {
  Lead("k");
  absl::Notification ended;
  flights_.Join("k", clock_.Now() + absl::Seconds(1), [&](FlightResult result) {
    EXPECT_TRUE(result.lease.empty());
    EXPECT_FALSE(result.value.has_value());
    ended.Notify();
  });
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(ended.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST_F(SingleFlightTest, ACancelledWaiterIsNotCalledBack) {
  const std::string lease = Lead("k");
  bool called = false;
  const uint64_t waiter = flights_.Join("k", soon_, [&](FlightResult) { called = true; });
  EXPECT_TRUE(flights_.Cancel("k", waiter));
  flights_.Complete("k", lease, Value("v"));
  EXPECT_FALSE(called);
}

TEST(SingleFlight, DestructionAnswersEveryoneWhoWaits) {
  FakeClock clock;
  int answered = 0;
  {
    SingleFlight flights(&clock, absl::Seconds(10));
    flights.Join("k", clock.Now() + absl::Seconds(5), [](FlightResult) {});
    flights.Join("k", clock.Now() + absl::Seconds(5), [&](FlightResult) { ++answered; });
  }
  EXPECT_EQ(answered, 1);
}

TEST(SingleFlight, ElectsOneLeaderOfManyThreads) {
  SingleFlight flights(RealClock(), absl::Seconds(30));
  std::atomic<int> leaders{0};
  std::atomic<int> followers{0};
  constexpr int kThreads = 8;
  constexpr int kCalls = 500;
  absl::BlockingCounter done(kThreads * kCalls);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        flights.Join("k", absl::InfiniteFuture(), [&](FlightResult result) {
          if (!result.lease.empty()) {
            ++leaders;
            flights.Complete("k", result.lease, Value("v"));
          } else if (result.value.has_value()) {
            ++followers;
          }
          done.DecrementCount();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.Wait();
  EXPECT_EQ(leaders + followers, kThreads * kCalls);
  EXPECT_GE(leaders, 1);
}

}  // namespace
}  // namespace alcove::cache
