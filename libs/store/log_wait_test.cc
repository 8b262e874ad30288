// Waiting for appends of this process, of another one, and in vain.

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/store/log_store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::IsOkAndHolds;
using ::alcove::testing::StatusIs;

class LogWaitTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (store_ != nullptr) id_ = MakeCollection("docs", 2);
  }
  absl::Status PutOne(Store& store, int32_t shard) {
    return store.log().Append({id_, 1, {{shard, {{RecordKind::kPut, "k", "v"}}}}, ""}).status();
  }
  absl::StatusOr<WaitResult> Wait(absl::Duration timeout) {
    const ShardPosition positions[] = {{{id_, 1, 0}, 0}, {{id_, 1, 1}, 0}};
    return store().log().WaitForAppend(positions, clock_.Now() + timeout);
  }
  int64_t id_ = 0;
};

TEST_P(LogWaitTest, AnswersAtOnceWhenThereIsNews) {
  ASSERT_THAT(PutOne(store(), 1), IsOk());
  EXPECT_THAT(Wait(absl::ZeroDuration()), IsOkAndHolds(WaitResult::kNews));
}

TEST_P(LogWaitTest, AnAppendOfThisProcessWakesWithoutTheClockMoving) {
  std::thread writer([&] {
    EXPECT_TRUE(clock_.WaitForWaiters(1));
    EXPECT_THAT(PutOne(store(), 1), IsOk());
  });
  EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kNews));
  writer.join();
}

TEST_P(LogWaitTest, AnAppendOfAnotherProcessIsNoticedByPolling) {
  std::unique_ptr<Store> other = OpenAgain();
  std::thread writer([&] {
    EXPECT_TRUE(clock_.WaitForWaiters(1));
    EXPECT_THAT(PutOne(*other, 0), IsOk());
    clock_.Advance(absl::Seconds(2));
  });
  EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kNews));
  writer.join();
}

TEST_P(LogWaitTest, AnAppendOfAnotherProcessIsNoticedAfterALongQuietToo) {
  std::unique_ptr<Store> other = OpenAgain();
  std::thread writer([&] {
    for (int look = 0; look < 300; ++look) {
      EXPECT_TRUE(clock_.WaitForWaiters(1));
      clock_.Advance(StoreOptions().sqlite_poll_interval);
    }
    EXPECT_TRUE(clock_.WaitForWaiters(1));
    EXPECT_THAT(PutOne(*other, 0), IsOk());
    clock_.Advance(GetParam() == Engine::kSqlite ? 8 * StoreOptions().sqlite_poll_interval
                                                 : StoreOptions().postgres_poll_interval);
  });
  EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kNews));
  writer.join();
}

TEST_P(LogWaitTest, ANotificationOrHintOfAnotherProcessWakesWithoutTheClockMoving) {
  std::unique_ptr<Store> other = OpenAgain();
  std::thread writer([&] {
    EXPECT_TRUE(clock_.WaitForWaiters(1));
    EXPECT_THAT(PutOne(*other, 0), IsOk());
    // PostgreSQL tells by itself; SQLite's writers send a hint over the network.
    if (GetParam() == Engine::kSqlite) store().log().HintAppended();
  });
  EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kNews));
  writer.join();
}

TEST_P(LogWaitTest, EndsAtTheDeadline) {
  EXPECT_THAT(Wait(absl::ZeroDuration()), IsOkAndHolds(WaitResult::kDeadline));
  std::thread timer([&] {
    EXPECT_TRUE(clock_.WaitForWaiters(1));
    clock_.Advance(absl::Seconds(11));
  });
  EXPECT_THAT(Wait(absl::Seconds(10)), IsOkAndHolds(WaitResult::kDeadline));
  timer.join();
}

TEST_P(LogWaitTest, EveryWaiterIsWokenForShutdown) {
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kWoken)); });
  }
  EXPECT_TRUE(clock_.WaitForWaiters(3));
  store().log().WakeWaiters();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST_P(LogWaitTest, EveryWaiterLearnsWhatOnePollFound) {
  std::unique_ptr<Store> other = OpenAgain();
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_THAT(Wait(absl::Hours(1)), IsOkAndHolds(WaitResult::kNews)); });
  }
  EXPECT_TRUE(clock_.WaitForWaiters(3));
  ASSERT_THAT(PutOne(*other, 1), IsOk());
  clock_.Advance(absl::Seconds(2));
  for (std::thread& waiter : waiters) waiter.join();
}

TEST_P(LogWaitTest, AnUnknownShardIsAnError) {
  const ShardPosition positions[] = {{{id_, 1, 9}, 0}};
  EXPECT_THAT(store().log().WaitForAppend(positions, clock_.Now()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().log().WaitForAppend({}, clock_.Now()), StatusIs(absl::StatusCode::kInvalidArgument));
}

ALCOVE_ON_BOTH_ENGINES(LogWaitTest);

}  // namespace
}  // namespace alcove::store
