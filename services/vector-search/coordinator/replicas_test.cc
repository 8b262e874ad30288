#include "services/vector-search/coordinator/replicas.h"

#include <functional>
#include <thread>

#include <absl/synchronization/notification.h>

#include "libs/testing/status_matchers.h"
#include "services/vector-search/coordinator/await.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::IsOkAndHolds;
using ::alcove::testing::StatusIs;

// A process whose answer to Count a test writes down. `hold`: it does not answer until told.
class FakeProcess final : public ShardClient {
 public:
  absl::StatusOr<int64_t> answer = 1;
  bool hold = false;
  bool local = false;
  std::atomic<int> asked{0};
  std::atomic<int> called_off{0};
  absl::Status notified;

  void Release() {
    std::vector<Done<int64_t>> all;
    {
      absl::MutexLock lock(&mutex_);
      all.swap(held_);
    }
    for (auto& done : all) done(answer);
  }

  void Count(const RequestContext& ctx, const ShardTarget&, std::shared_ptr<const Filter>,
             Done<int64_t> done) override {
    ++asked;
    if (!hold) return done(answer);
    CancellationRegistration registration = ctx.cancellation().OnCancel([this] { ++called_off; });
    absl::MutexLock lock(&mutex_);
    registrations_.push_back(std::move(registration));
    held_.push_back(std::move(done));
  }
  void Search(const RequestContext&, const ShardTarget&, std::shared_ptr<const SearchQuery>,
              Done<std::vector<FoundPoint>> done) override {
    done(absl::UnimplementedError(""));
  }
  void Get(const RequestContext&, const ShardTarget&, GetQuery, Done<std::vector<StoredPoint>> done) override {
    done(absl::UnimplementedError(""));
  }
  void Scroll(const RequestContext&, const ShardTarget&, std::shared_ptr<const ScrollQuery>,
              Done<std::vector<StoredPoint>> done) override {
    done(absl::UnimplementedError(""));
  }
  void Statistics(const RequestContext&, const ShardTarget&, std::shared_ptr<const SearchQuery>,
                  Done<SparseStatistics> done) override {
    done(absl::UnimplementedError(""));
  }
  void Facet(const RequestContext&, const ShardTarget&, std::shared_ptr<const FacetQuery>,
             Done<ShardFacet> done) override {
    done(absl::UnimplementedError(""));
  }
  void Notify(const RequestContext&, std::vector<ShardTarget>, bool,
              absl::AnyInvocable<void(absl::Status)> done) override {
    done(notified);
  }
  void Stats(const RequestContext&, store::CollectionId, Done<std::vector<HostedStats>> done) override {
    done(std::vector<HostedStats>());
  }
  void RefreshCatalog(const RequestContext&, absl::AnyInvocable<void(absl::Status)> done) override {
    done(absl::OkStatus());
  }
  bool InProcess() const override { return local; }
  std::string Name() const override { return "fake"; }

 private:
  absl::Mutex mutex_;
  std::vector<Done<int64_t>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<CancellationRegistration> registrations_ ABSL_GUARDED_BY(mutex_);
};

class ReplicasTest : public ::testing::Test {
 protected:
  ReplicasTest() {
    options_.hedge_least = absl::Milliseconds(1);
    options_.retry_pause = absl::Milliseconds(1);
  }
  std::shared_ptr<Replicas> Make(std::vector<std::shared_ptr<FakeProcess>> processes) {
    std::vector<Replica> replicas;
    for (const auto& process : processes) replicas.push_back({process, std::make_shared<ProcessHealth>()});
    return Replicas::Make(options_, {}, std::move(replicas), &timer_);
  }
  static absl::StatusOr<int64_t> Count(Replicas& replicas, const RequestContext& ctx = RequestContext()) {
    return Await<int64_t>(
        [&](Done<int64_t> done) { replicas.Count(ctx, {}, std::make_shared<const Filter>(), std::move(done)); });
  }

  ReplicaOptions options_;
  std::shared_ptr<FakeProcess> a_ = std::make_shared<FakeProcess>();
  std::shared_ptr<FakeProcess> b_ = std::make_shared<FakeProcess>();
  DelayedTasks timer_;
};

TEST_F(ReplicasTest, AsksTheNextWhenOneFailsAndThatOneLastForAWhile) {
  const auto replicas = Make({a_, b_});
  a_->answer = absl::UnavailableError("gone");
  b_->answer = 2;
  EXPECT_THAT(Count(*replicas), IsOkAndHolds(2));
  const int before = a_->asked;
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Count(*replicas), IsOkAndHolds(2));
  EXPECT_EQ(a_->asked, before);
  // With b gone as well, a is asked all the same.
  b_->answer = absl::UnavailableError("gone");
  a_->answer = 1;
  EXPECT_THAT(Count(*replicas), IsOkAndHolds(1));
}

TEST_F(ReplicasTest, WhatConcernsTheCallIsNotAskedTwice) {
  const auto replicas = Make({a_, b_});
  a_->answer = b_->answer = absl::InvalidArgumentError("filter");
  EXPECT_THAT(Count(*replicas), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(a_->asked + b_->asked, 1);
}

TEST_F(ReplicasTest, OneAloneIsAskedAgainBeforeItsErrorCounts) {
  const auto replicas = Make({a_});
  a_->answer = absl::UnavailableError("gone");
  EXPECT_THAT(Count(*replicas), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(a_->asked, 3);
}

TEST_F(ReplicasTest, PrefersThisProcess) {
  b_->local = true;
  b_->answer = 2;
  const auto replicas = Make({a_, b_});
  for (int i = 0; i < 10; ++i) EXPECT_THAT(Count(*replicas), IsOkAndHolds(2));
  EXPECT_EQ(a_->asked, 0);
  EXPECT_TRUE(replicas->InProcess());
}

TEST_F(ReplicasTest, ASlowOneIsHedgedAndCalledOff) {
  const auto replicas = Make({a_, b_});
  a_->hold = true;
  b_->answer = 2;
  EXPECT_THAT(Count(*replicas), IsOkAndHolds(2));
  EXPECT_EQ(a_->asked, 1);
  EXPECT_EQ(a_->called_off, 1);
  a_->Release();  // its late answer is not an answer any more
}

TEST_F(ReplicasTest, HedgesKeepToTheirBudget) {
  options_.hedge_ratio = 0;
  options_.give_up_after = absl::Seconds(2);
  const auto replicas = Make({a_, b_});
  a_->hold = b_->hold = true;
  constexpr int kCalls = 40;
  std::vector<std::thread> callers;
  for (int i = 0; i < kCalls; ++i) callers.emplace_back([&] { EXPECT_THAT(Count(*replicas), IsOk()); });
  while (a_->asked + b_->asked < kCalls + 10) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(60));
  EXPECT_EQ(a_->asked + b_->asked, kCalls + 10);  // ten are saved up at the start
  // After give_up_after a second one is asked, budget or not: a frozen process must not fail a call.
  while (a_->asked + b_->asked < 2 * kCalls) absl::SleepFor(absl::Milliseconds(1));
  a_->Release();
  b_->Release();
  for (std::thread& caller : callers) caller.join();
}

TEST_F(ReplicasTest, TheCallersDeadlineEndsIt) {
  const auto replicas = Make({a_, b_});
  a_->answer = b_->answer = absl::DeadlineExceededError("late");
  const RequestContext ctx = RequestContext().WithDeadline(absl::Now() - absl::Seconds(1));
  EXPECT_THAT(Count(*replicas, ctx), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(a_->asked + b_->asked, 1);
}

TEST_F(ReplicasTest, NewsAreTakenWhenOneHasThemAndTheOthersAreAway) {
  const auto replicas = Make({a_, b_});
  const auto notify = [&] {
    absl::Status answer;
    replicas->Notify(RequestContext(), {{1, 0, 5}}, true, [&](absl::Status status) { answer = std::move(status); });
    return answer;
  };
  EXPECT_THAT(notify(), IsOk());
  a_->notified = absl::UnavailableError("gone");
  EXPECT_THAT(notify(), IsOk());
  b_->notified = absl::UnavailableError("gone");
  EXPECT_THAT(notify(), StatusIs(absl::StatusCode::kUnavailable));
  b_->notified = absl::DeadlineExceededError("still applying");
  EXPECT_THAT(notify(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace alcove::vector_search
