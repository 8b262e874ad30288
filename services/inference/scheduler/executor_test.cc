#include "services/inference/scheduler/executor.h"

#include <algorithm>
#include <set>
#include <thread>

#include <absl/strings/match.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/testing/fake_clock.h"

namespace alcove::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// Returns [length, first id] for each sequence, remembers batches, and can be held until told to go on.
class FakeRunner final : public BatchRunner {
 public:
  explicit FakeRunner(bool held = false) : held_(held) {}
  size_t dimension() const override { return 2; }

  void Run(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace, float* out) const override {
    workspace.Get(Workspace::kPooled, 16);
    absl::MutexLock lock(&mu_);
    std::vector<int32_t> first_ids;
    for (const auto& sequence : sequences) {
      *out++ = static_cast<float>(sequence.size());
      *out++ = static_cast<float>(sequence[0]);
      first_ids.push_back(sequence[0]);
    }
    batches_.push_back(first_ids);
    mu_.Await(absl::Condition(
        +[](bool* held) { return !*held; }, &held_));
  }

  void Release() {
    absl::MutexLock lock(&mu_);
    held_ = false;
  }
  void WaitForBatches(size_t count) const {
    absl::MutexLock lock(&mu_);
    const auto enough = [&] { return batches_.size() >= count; };
    mu_.Await(absl::Condition(&enough));
  }
  std::vector<std::vector<int32_t>> batches() const {
    absl::MutexLock lock(&mu_);
    return batches_;
  }

 private:
  mutable absl::Mutex mu_;
  mutable bool held_;
  mutable std::vector<std::vector<int32_t>> batches_;
};

// The answer to one request.
class Answer {
 public:
  EmbedDone Done() {
    return [this](absl::StatusOr<EmbedResult> result) {
      ASSERT_FALSE(ready_.HasBeenNotified()) << "answered twice";
      result_ = std::move(result);
      ready_.Notify();
    };
  }
  const absl::StatusOr<EmbedResult>& Wait() {
    ready_.WaitForNotification();
    return result_;
  }
  bool HasAnswer() const { return ready_.HasBeenNotified(); }

 private:
  absl::Notification ready_;
  absl::StatusOr<EmbedResult> result_ = absl::UnknownError("none");
};

class ExecutorTest : public ::testing::Test {
 protected:
  static BatchLimits Limits() {
    BatchLimits limits;
    limits.timeout = absl::Milliseconds(50);
    limits.wait_when_idle = true;
    limits.max_queued = 64;
    return limits;
  }

  testing::FakeClock clock_;
  Registry registry_;
  RequestContext ctx_;
};

TEST_F(ExecutorTest, AnswersEachRequestWithItsOwnVectorsInOrder) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  Answer a, b;
  executor.Submit(ctx_, "m", {{1, 1, 1}, {2}}, Priority::kNormal, a.Done());
  executor.Submit(ctx_, "m", {{3, 3}}, Priority::kNormal, b.Done());
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(50));
  ASSERT_TRUE(a.Wait().ok()) << a.Wait().status();
  EXPECT_THAT(a.Wait()->values, ElementsAre(3, 1, 1, 2));
  ASSERT_TRUE(b.Wait().ok());
  EXPECT_THAT(b.Wait()->values, ElementsAre(2, 3));
  EXPECT_THAT(runner.batches(), ElementsAre(ElementsAre(1, 2, 3))) << "the requests share a batch";
}

TEST_F(ExecutorTest, ALoneRequestDoesNotWaitAndThoseThatComeWhileItRunsShareABatch) {
  FakeRunner runner(/*held=*/true);
  Executor executor(2, &clock_, &registry_);
  BatchLimits limits = Limits();
  limits.wait_when_idle = false;
  executor.AddModel("m", &runner, limits);
  Answer lone, b, c;
  executor.Submit(ctx_, "m", {{1}}, Priority::kNormal, lone.Done());
  runner.WaitForBatches(1);
  executor.Submit(ctx_, "m", {{2}}, Priority::kNormal, b.Done());
  executor.Submit(ctx_, "m", {{3}}, Priority::kNormal, c.Done());
  runner.Release();
  EXPECT_TRUE(lone.Wait().ok());
  EXPECT_TRUE(b.Wait().ok());
  EXPECT_TRUE(c.Wait().ok());
  EXPECT_THAT(runner.batches(), ElementsAre(ElementsAre(1), ElementsAre(2, 3)));
}

TEST_F(ExecutorTest, TwoModelsNeverShareABatch) {
  FakeRunner first, second;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("first", &first, Limits());
  executor.AddModel("second", &second, Limits());
  Answer answers[4];
  executor.Submit(ctx_, "first", {{1}}, Priority::kNormal, answers[0].Done());
  executor.Submit(ctx_, "second", {{2}}, Priority::kNormal, answers[1].Done());
  executor.Submit(ctx_, "first", {{3}}, Priority::kNormal, answers[2].Done());
  executor.Submit(ctx_, "second", {{4}}, Priority::kNormal, answers[3].Done());
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(50));
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  EXPECT_THAT(first.batches(), ElementsAre(ElementsAre(1, 3)));
  EXPECT_THAT(second.batches(), ElementsAre(ElementsAre(2, 4)));
}

TEST_F(ExecutorTest, AFullQueueAnswersResourceExhaustedWithARetryHint) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  BatchLimits limits = Limits();
  limits.max_queued = 3;
  executor.AddModel("m", &runner, limits);
  Answer waiting, refused;
  executor.Submit(ctx_, "m", {{1}, {2}}, Priority::kNormal, waiting.Done());
  executor.Submit(ctx_, "m", {{3}, {4}}, Priority::kNormal, refused.Done());
  ASSERT_TRUE(refused.HasAnswer());
  EXPECT_EQ(refused.Wait().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(GetErrorDetails(refused.Wait().status()).retry_after.has_value());
  EXPECT_EQ(executor.stats().queued, 2);
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(50));
  EXPECT_TRUE(waiting.Wait().ok());
}

TEST_F(ExecutorTest, ACancelledRequestIsAnsweredAtOnceAndDoesNotRun) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  CancellationSource source;
  Answer cancelled, other;
  executor.Submit(ctx_.WithCancellation(source.token()), "m", {{1}, {2}}, Priority::kNormal, cancelled.Done());
  executor.Submit(ctx_, "m", {{3}}, Priority::kNormal, other.Done());
  source.Cancel();
  ASSERT_TRUE(cancelled.HasAnswer());
  EXPECT_EQ(cancelled.Wait().status().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(50));
  EXPECT_TRUE(other.Wait().ok());
  EXPECT_THAT(runner.batches(), ElementsAre(ElementsAre(3)));
}

TEST_F(ExecutorTest, CancellingARunningRequestAnswersItOnce) {
  FakeRunner runner(/*held=*/true);
  Executor executor(1, &clock_, &registry_);
  BatchLimits limits = Limits();
  limits.timeout = absl::ZeroDuration();
  executor.AddModel("m", &runner, limits);
  CancellationSource source;
  Answer answer;
  executor.Submit(ctx_.WithCancellation(source.token()), "m", {{1}}, Priority::kNormal, answer.Done());
  runner.WaitForBatches(1);
  source.Cancel();
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kCancelled);
  runner.Release();
}

TEST_F(ExecutorTest, AContextThatHasEndedIsRefusedAtOnce) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  Answer late, unknown;
  executor.Submit(ctx_.WithDeadline(clock_.Now()), "m", {{1}}, Priority::kNormal, late.Done());
  EXPECT_EQ(late.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  executor.Submit(ctx_, "other", {{1}}, Priority::kNormal, unknown.Done());
  EXPECT_EQ(unknown.Wait().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(unknown.Wait().status().message(), HasSubstr("other"));
}

TEST_F(ExecutorTest, ADeadlineThatPassesInTheQueueIsReported) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  Answer answer;
  executor.Submit(ctx_.WithDeadline(clock_.Now() + absl::Milliseconds(10)), "m", {{1}}, Priority::kNormal,
                  answer.Done());
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(50));
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(runner.batches(), SizeIs(0));
}

TEST_F(ExecutorTest, StoppingAnswersWhatStillWaits) {
  FakeRunner runner;
  Answer answer;
  {
    Executor executor(1, &clock_, &registry_);
    executor.AddModel("m", &runner, Limits());
    executor.Submit(ctx_, "m", {{1}}, Priority::kNormal, answer.Done());
  }
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ExecutorTest, NoTextsGiveNoVectors) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  Answer answer;
  executor.Submit(ctx_, "m", {}, Priority::kNormal, answer.Done());
  ASSERT_TRUE(answer.Wait().ok());
  EXPECT_THAT(answer.Wait()->values, SizeIs(0));
}

TEST_F(ExecutorTest, MetricsCountTextsBatchesTokensAndMeasuredWaits) {
  FakeRunner runner;
  Executor executor(1, &clock_, &registry_);
  executor.AddModel("m", &runner, Limits());
  Answer a, b;
  executor.Submit(ctx_, "m", {{1, 1, 1}}, Priority::kNormal, a.Done());
  clock_.Advance(absl::Milliseconds(20));
  executor.Submit(ctx_, "m", {{2, 2}}, Priority::kNormal, b.Done());
  EXPECT_THAT(registry_.Render(), HasSubstr("alcove_inference_queue_depth{model=\"m\"} 2"));
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  clock_.Advance(absl::Milliseconds(30));
  EXPECT_TRUE(a.Wait().ok());
  EXPECT_TRUE(b.Wait().ok());
  const std::string text = registry_.Render();
  EXPECT_THAT(text, HasSubstr("alcove_inference_texts_total{model=\"m\"} 2"));
  EXPECT_THAT(text, HasSubstr("alcove_inference_batches_total{model=\"m\"} 1"));
  EXPECT_THAT(text, HasSubstr("alcove_inference_tokens_total{model=\"m\"} 5"));
  EXPECT_THAT(text, HasSubstr("alcove_inference_queue_wait_seconds_count{model=\"m\"} 2"));
  EXPECT_THAT(text, HasSubstr("alcove_inference_queue_wait_seconds_sum{model=\"m\"} 0.08"));  // 50 ms + 30 ms
  EXPECT_EQ(executor.stats().texts, 2);
  EXPECT_EQ(executor.stats().batches, 1);
}

TEST_F(ExecutorTest, ManyThreadsAndWorkersAnswerEveryRequestOnce) {
  FakeRunner runner;
  Executor executor(3, RealClock(), &registry_);
  BatchLimits limits;
  limits.timeout = absl::Microseconds(200);
  limits.max_queued = 1 << 20;
  executor.AddModel("m", &runner, limits);
  std::atomic<int> right{0}, cancelled{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 200; ++i) {
        CancellationSource source;
        Answer answer;
        const int32_t id = c * 1000 + i;
        executor.Submit(RequestContext().WithCancellation(source.token()), "m", {{id}, {id, id}}, Priority::kNormal,
                        answer.Done());
        if (i % 5 == 0) source.Cancel();
        const auto& result = answer.Wait();
        if (!result.ok()) {
          cancelled += result.status().code() == absl::StatusCode::kCancelled;
        } else {
          right += result->values == std::vector<float>{1, static_cast<float>(id), 2, static_cast<float>(id)};
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right + cancelled, 800);
  EXPECT_GE(right, 640);
}

}  // namespace
}  // namespace alcove::inference
