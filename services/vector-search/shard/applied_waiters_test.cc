#include "services/vector-search/shard/applied_waiters.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AppliedWaitersTest : public ::testing::Test {
 protected:
  void Wait(store::Sequence sequence, absl::Time deadline, std::string name) {
    waiters_.Wait(sequence, deadline, [this, name](absl::Status status) {
      done_.push_back(name + (status.ok() ? "" : ":" + std::string(absl::StatusCodeToString(status.code()))));
      last_ = std::move(status);
    });
  }
  AppliedWaiters waiters_;
  std::vector<std::string> done_;
  absl::Status last_;
  const absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(AppliedWaitersTest, CallsBackInOrderOfSequenceAsTheShardAdvances) {
  Wait(5, absl::InfiniteFuture(), "five");
  Wait(3, absl::InfiniteFuture(), "three");
  Wait(0, absl::InfiniteFuture(), "zero");
  EXPECT_THAT(done_, ElementsAre("zero"));
  waiters_.Advance(4);
  EXPECT_THAT(done_, ElementsAre("zero", "three"));
  waiters_.Advance(5);
  Wait(4, absl::InfiniteFuture(), "four");
  EXPECT_THAT(done_, ElementsAre("zero", "three", "five", "four"));
}

TEST_F(AppliedWaitersTest, ExpiresOnlyThoseWhoseDeadlineHasPassedAndSaysHowFarTheShardIs) {
  waiters_.Advance(2);
  Wait(9, now_ + absl::Seconds(1), "soon");
  Wait(9, now_ + absl::Seconds(9), "later");
  waiters_.Expire(now_);
  EXPECT_TRUE(done_.empty());
  waiters_.Expire(now_ + absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre("soon:DEADLINE_EXCEEDED"));
  EXPECT_THAT(std::string(last_.message()), HasSubstr("has applied 2"));
  waiters_.Advance(9);
  EXPECT_THAT(done_, ElementsAre("soon:DEADLINE_EXCEEDED", "later"));
}

TEST_F(AppliedWaitersTest, FailsEverybodyNowAndLater) {
  Wait(1, absl::InfiniteFuture(), "a");
  waiters_.Fail(absl::CancelledError("stopping"));
  Wait(0, absl::InfiniteFuture(), "b");
  EXPECT_THAT(done_, ElementsAre("a:CANCELLED", "b:CANCELLED"));
}

TEST_F(AppliedWaitersTest, AfterARestartWaitsForTheSequenceToBeReachedAgain) {
  waiters_.Advance(7);
  waiters_.Restart();
  Wait(7, absl::InfiniteFuture(), "a");
  EXPECT_TRUE(done_.empty());
  waiters_.Advance(7);
  EXPECT_THAT(done_, ElementsAre("a"));
}

}  // namespace
}  // namespace alcove::vector_search
