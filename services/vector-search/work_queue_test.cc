#include "services/vector-search/work_queue.h"

#include <ctime>
#include <thread>
#include <vector>

#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;

void Burn(absl::Duration time) {
  const clock_t end = clock() + static_cast<clock_t>(absl::ToDoubleSeconds(time) * CLOCKS_PER_SEC);
  while (clock() < end) {
  }
}

class ShortTasks : public ::testing::Test {
 protected:
  // Submits `n` tasks within one turn and ends it; how many of them ran on this thread.
  int RunTurn(int n, absl::Duration length = absl::ZeroDuration()) {
    std::atomic<int> here = 0;
    for (int i = 0; i < n; ++i) {
      EXPECT_THAT(queue_.SubmitShort(loop_,
                                     [&, self = std::this_thread::get_id()] {
                                       Burn(length);
                                       if (std::this_thread::get_id() == self) ++here;
                                     }),
                  IsOk());
    }
    loop_.RunReady();
    queue_.pool().WaitIdle();
    return here;
  }

  net::Loop loop_{0};
  WorkQueue queue_{2, 8, "test"};
};

TEST_F(ShortTasks, RunOnTheLoopWhenTheyComeAlone) {
  EXPECT_EQ(RunTurn(1), 1);
  EXPECT_EQ(RunTurn(1), 1);
}

TEST_F(ShortTasks, ShareATurnBetweenTheLoopAndThePool) {
  EXPECT_EQ(RunTurn(5), 1) << "how long they take is not known yet";
  EXPECT_EQ(RunTurn(1), 1) << "the next turn begins anew";
}

TEST_F(ShortTasks, FillATurnOnTheLoopOnceTheyAreKnownToBeShort) {
  for (int i = 0; i < 100; ++i) RunTurn(1);
  EXPECT_EQ(RunTurn(5), 5);
}

TEST_F(ShortTasks, OfMiddlingLengthFillATurnWithFewOfThem) {
  for (int i = 0; i < 100; ++i) RunTurn(1, WorkQueue::kTurn * 0.4);
  const int here = RunTurn(8, WorkQueue::kTurn * 0.4);
  EXPECT_GE(here, 1);
  EXPECT_LE(here, 3);
}

TEST_F(ShortTasks, LeaveTheLoopInTheMiddleOfATurnThatALongOneHoldsUp) {
  for (int i = 0; i < 100; ++i) RunTurn(1);
  std::atomic<int> here = 0, elsewhere = 0;
  const auto self = std::this_thread::get_id();
  ASSERT_THAT(queue_.SubmitShort(loop_, [&] { Burn(4 * WorkQueue::kShort); }), IsOk());
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(queue_.SubmitShort(loop_, [&] { ++(std::this_thread::get_id() == self ? here : elsewhere); }), IsOk());
  }
  loop_.RunReady();
  queue_.pool().WaitIdle();
  EXPECT_EQ(here, 0);
  EXPECT_EQ(elsewhere, 3);
}

TEST_F(ShortTasks, NeedNotWaitForABusyPool) {
  absl::Notification release;
  for (int i = 0; i < 2; ++i) ASSERT_THAT(queue_.Submit([&] { release.WaitForNotification(); }), IsOk());
  bool ran = false;
  ASSERT_THAT(queue_.SubmitShort(loop_, [&] { ran = true; }), IsOk());
  loop_.RunReady();
  EXPECT_TRUE(ran);
  release.Notify();
  queue_.pool().WaitIdle();
}

TEST_F(ShortTasks, KeepOffTheLoopForAWhileAfterALongOne) {
  EXPECT_EQ(RunTurn(1, 4 * WorkQueue::kShort), 1);
  EXPECT_EQ(RunTurn(1), 0);
  int turns = 1;
  while (RunTurn(1) == 0 && turns < 100'000) ++turns;
  EXPECT_GE(turns, 16);
  EXPECT_LT(turns, 100'000) << "and come back";
}

TEST_F(ShortTasks, StayOnTheLoopAfterOneThatWasALittleLong) {
  for (int i = 0; i < 100; ++i) RunTurn(1);
  EXPECT_EQ(RunTurn(1, WorkQueue::kShort * 1.2), 1);
  EXPECT_EQ(RunTurn(1), 1);
  // But not when most are, nor after one that no accident explains.
  for (int i = 0; i < 32; ++i) RunTurn(1, WorkQueue::kShort * 1.2);
  EXPECT_EQ(RunTurn(1), 0);
  while (RunTurn(1) == 0) {
  }
  for (int i = 0; i < 100; ++i) RunTurn(1);
  EXPECT_EQ(RunTurn(1, 8 * WorkQueue::kShort), 1);
  EXPECT_EQ(RunTurn(1), 0);
}

TEST_F(ShortTasks, AreRefusedWhenTheQueueIsFull) {
  absl::Notification release;
  for (int i = 0; i < 2; ++i) ASSERT_THAT(queue_.Submit([&] { release.WaitForNotification(); }), IsOk());
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) status = queue_.SubmitShort(loop_, [] {});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  release.Notify();
  queue_.pool().WaitIdle();
}

}  // namespace
}  // namespace alcove::vector_search
