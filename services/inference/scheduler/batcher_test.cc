#include "services/inference/scheduler/batcher.h"

#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::inference {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class BatcherTest : public ::testing::Test {
 protected:
  static BatchLimits Limits() {
    BatchLimits limits;
    limits.max_texts = 32;
    limits.max_tokens = 4096;
    limits.timeout = absl::Milliseconds(50);
    limits.wait_when_idle = true;
    limits.max_queued = 100;
    return limits;
  }

  void Advance(int milliseconds) { now_ += absl::Milliseconds(milliseconds); }
  Batcher::ItemId Add(size_t tokens = 10, Priority priority = Priority::kNormal,
                      absl::Time deadline = absl::InfiniteFuture()) {
    const auto id = batcher_.Add(now_, {tokens}, priority, deadline);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  std::vector<Batcher::ItemId> Take() {
    std::vector<Batcher::ItemId> ids;
    for (const Batcher::Item& item : batcher_.Take(now_).items) ids.push_back(item.id);
    return ids;
  }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1000);
  Batcher batcher_{Limits()};
};

TEST_F(BatcherTest, TwoRequestsShareABatch) {
  const auto a = Add();
  Advance(1);
  const auto b = Add();
  Advance(49);
  EXPECT_THAT(Take(), ElementsAre(a, b));
  EXPECT_EQ(batcher_.depth(), 0u);
}

TEST_F(BatcherTest, FiftyRequestsLeaveInBatchesOfAtMostThirtyTwoWithTheirTokens) {
  size_t added = 0;
  for (size_t i = 0; i < 50; ++i) {
    Add(i + 1);
    added += i + 1;
  }
  const Batcher::Batch first = batcher_.Take(now_);
  EXPECT_THAT(first.items, SizeIs(32));
  Advance(50);
  const Batcher::Batch second = batcher_.Take(now_);
  EXPECT_THAT(second.items, SizeIs(18));
  EXPECT_EQ(first.tokens + second.tokens, added);
  EXPECT_EQ(batcher_.queued_tokens(), 0u);
}

TEST_F(BatcherTest, ArrivalsWithinTheWindowShareABatch) {
  // The window of this queue is longer than the 50 ms between its arrivals.
  BatchLimits limits = Limits();
  limits.timeout = absl::Milliseconds(100);
  batcher_ = Batcher(limits);
  const auto a = Add();
  Advance(50);
  const auto b = Add();
  EXPECT_THAT(Take(), ElementsAre());
  Advance(50);
  EXPECT_THAT(Take(), ElementsAre(a, b));
}

TEST_F(BatcherTest, ContinuousArrivalsMakeSeveralNonEmptyBatches) {
  std::vector<size_t> sizes;
  for (int i = 0; i < 200; ++i) {
    Add();
    Advance(7);
    while (now_ >= batcher_.Due()) sizes.push_back(Take().size());
  }
  EXPECT_GT(sizes.size(), 5u);
  EXPECT_THAT(sizes, Each(::testing::AllOf(::testing::Ge(1u), ::testing::Le(32u))));
}

TEST_F(BatcherTest, HighPriorityIsInTheFirstBatch) {
  for (int i = 0; i < 40; ++i) Add(10, Priority::kNormal);
  const auto high = Add(10, Priority::kHigh);
  const auto critical = Add(10, Priority::kCritical);
  const std::vector<Batcher::ItemId> first = Take();
  ASSERT_THAT(first, SizeIs(32));
  EXPECT_EQ(first[0], critical);
  EXPECT_EQ(first[1], high);
}

TEST_F(BatcherTest, ALoneRequestLeavesAtItsTimeoutAndNotBefore) {
  const auto a = Add();
  EXPECT_EQ(batcher_.Due(), now_ + absl::Milliseconds(50));
  Advance(49);
  EXPECT_THAT(Take(), ElementsAre());
  Advance(1);
  EXPECT_THAT(Take(), ElementsAre(a));
  EXPECT_EQ(batcher_.Due(), absl::InfiniteFuture());
}

// What is different when nothing waits for company that is not in sight.
class EagerBatcherTest : public BatcherTest {
 protected:
  EagerBatcherTest() {
    BatchLimits limits = Limits();
    limits.wait_when_idle = false;
    batcher_ = Batcher(limits);
  }
};

TEST_F(EagerBatcherTest, ALoneRequestLeavesAtOnceWhenItsModelIsIdle) {
  const auto a = Add();
  EXPECT_EQ(batcher_.Due(/*running=*/false), absl::InfinitePast());
  EXPECT_THAT(Take(), ElementsAre(a));
}

TEST_F(EagerBatcherTest, WhileABatchRunsTextsWaitForCompanyUntilItEndsOrTheTimeout) {
  const auto a = Add();
  EXPECT_EQ(batcher_.Due(/*running=*/true), now_ + absl::Milliseconds(50));
  EXPECT_THAT(batcher_.Take(now_, 1, /*running=*/true).items, SizeIs(0));
  Advance(20);
  const auto b = Add();
  EXPECT_EQ(batcher_.Due(/*running=*/true), now_ + absl::Milliseconds(30));
  EXPECT_THAT(Take(), ElementsAre(a, b)) << "the running batch has ended";
}

TEST_F(EagerBatcherTest, AnUrgentTextDoesNotWaitAndTakesTheOthersAlong) {
  const auto normal = Add(10, Priority::kNormal);
  const auto high = Add(10, Priority::kHigh);
  EXPECT_EQ(batcher_.Due(/*running=*/true), absl::InfinitePast());
  const Batcher::Batch batch = batcher_.Take(now_, 1, /*running=*/true);
  ASSERT_THAT(batch.items, SizeIs(2));
  EXPECT_EQ(batch.items[0].id, high);
  EXPECT_EQ(batch.items[1].id, normal);
  const auto cancelled = Add(10, Priority::kCritical);
  Add(10, Priority::kNormal);
  batcher_.Cancel(cancelled);
  EXPECT_EQ(batcher_.Due(/*running=*/true), now_ + absl::Milliseconds(50));
}

TEST_F(EagerBatcherTest, TheShareLeftForAnotherWorkerIsDueAtOnce) {
  for (int i = 0; i < 4; ++i) Add(100);
  EXPECT_THAT(batcher_.Take(now_, 2).items, SizeIs(2));
  EXPECT_EQ(batcher_.Due(/*running=*/true), absl::InfinitePast());
  EXPECT_THAT(batcher_.Take(now_, 1, /*running=*/true).items, SizeIs(2));
  Add(100);
  EXPECT_EQ(batcher_.Due(/*running=*/true), now_ + absl::Milliseconds(50)) << "it came later";
}

TEST_F(BatcherTest, ACancelledRequestIsAbsent) {
  const auto a = Add();
  const auto b = Add();
  EXPECT_TRUE(batcher_.Cancel(a));
  EXPECT_FALSE(batcher_.Cancel(a));
  EXPECT_FALSE(batcher_.Cancel(12345));
  Advance(50);
  EXPECT_THAT(Take(), ElementsAre(b));
  EXPECT_FALSE(batcher_.Cancel(b));
}

TEST_F(BatcherTest, CancellingTheOldestMovesTheTimeout) {
  const auto a = Add();
  Advance(30);
  Add();
  const absl::Time second_due = now_ + absl::Milliseconds(50);
  batcher_.Cancel(a);
  EXPECT_EQ(batcher_.Due(), second_due);
}

TEST_F(BatcherTest, AFullQueueRefusesAWholeRequestAndKeepsNothingOfIt) {
  for (int i = 0; i < 99; ++i) Add();
  const std::vector<size_t> two = {10, 10};
  const auto refused = batcher_.Add(now_, two, Priority::kNormal);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(batcher_.depth(), 99u);
  Add();
  EXPECT_EQ(batcher_.depth(), 100u);
}

TEST_F(BatcherTest, AFullTokenBudgetLeavesAtOnceAndIsNotExceeded) {
  for (int i = 0; i < 10; ++i) Add(500);
  EXPECT_EQ(batcher_.Due(), absl::InfinitePast());
  const Batcher::Batch batch = batcher_.Take(now_);
  EXPECT_THAT(batch.items, SizeIs(8));
  EXPECT_EQ(batch.tokens, 4000u);
}

TEST_F(BatcherTest, ATextLongerThanTheBudgetRunsAlone) {
  Add(5000);
  Add(10);
  EXPECT_THAT(Take(), SizeIs(1));
}

TEST_F(BatcherTest, IdleWorkersShareWhatWaits) {
  for (int i = 0; i < 32; ++i) Add(16);
  EXPECT_EQ(batcher_.Take(now_, 2).tokens, 256u);
  for (int i = 0; i < 16; ++i) Add(16);
  // Shares below 128 tokens are not worth dividing further.
  EXPECT_EQ(batcher_.Take(now_, 16).tokens, 128u);
}

TEST_F(BatcherTest, LowPriorityDoesNotStarve) {
  const auto low = Add(10, Priority::kLow);
  std::set<Batcher::ItemId> ran;
  // A flood of high priority fills every batch.
  for (int round = 0; round < 40 && !ran.contains(low); ++round) {
    for (int i = 0; i < 32; ++i) Add(10, Priority::kHigh);
    for (const Batcher::ItemId id : Take()) ran.insert(id);
    Advance(100);
  }
  EXPECT_TRUE(ran.contains(low));
}

TEST_F(BatcherTest, TextsPastTheirDeadlineAreHandedBackInsteadOfRun) {
  const auto late = Add(10, Priority::kNormal, now_ + absl::Milliseconds(20));
  const auto good = Add(10, Priority::kNormal, now_ + absl::Milliseconds(500));
  Advance(50);
  const Batcher::Batch batch = batcher_.Take(now_);
  ASSERT_THAT(batch.items, SizeIs(1));
  EXPECT_EQ(batch.items[0].id, good);
  ASSERT_THAT(batch.expired, SizeIs(1));
  EXPECT_EQ(batch.expired[0].id, late);
}

TEST_F(BatcherTest, EveryTextComesOutExactlyOnceUnderRandomUse) {
  std::mt19937 random(1);
  std::set<Batcher::ItemId> expected, seen;
  for (int step = 0; step < 5000; ++step) {
    const uint32_t action = random() % 10;
    if (action < 5 && batcher_.depth() < 90) {
      expected.insert(Add(1 + random() % 600, static_cast<Priority>(random() % 4)));
    } else if (action == 5 && !expected.empty()) {
      const Batcher::ItemId id = *std::next(expected.begin(), random() % expected.size());
      if (batcher_.Cancel(id)) expected.erase(id);
    } else if (action < 8) {
      Advance(static_cast<int>(random() % 30));
    } else {
      for (const Batcher::ItemId id : Take()) EXPECT_TRUE(seen.insert(id).second);
    }
  }
  while (batcher_.depth() > 0) {
    Advance(50);
    for (const Batcher::ItemId id : Take()) EXPECT_TRUE(seen.insert(id).second);
  }
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(batcher_.queued_tokens(), 0u);
}

}  // namespace
}  // namespace alcove::inference
