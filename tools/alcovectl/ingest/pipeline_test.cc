#include "tools/alcovectl/ingest/pipeline.h"

#include <set>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::ctl {
namespace {

// Numbers as documents; those in `bad` cannot be read.
class Numbers : public DocumentSource {
 public:
  explicit Numbers(int count, std::set<int> bad = {}) : count_(count), bad_(std::move(bad)) {}
  absl::StatusOr<std::optional<SourceDocument>> Next() override {
    if (next_ >= count_) return std::nullopt;
    const int n = next_++;
    if (bad_.contains(n)) return absl::InvalidArgumentError(absl::StrCat("number ", n));
    SourceDocument document;
    document.id = absl::StrCat(n);
    document.text = "x";
    return document;
  }
  double Progress() const override { return static_cast<double>(next_) / count_; }
  std::string Identity() const override { return "numbers"; }

 private:
  int count_;
  std::set<int> bad_;
  int next_ = 0;
};

class PipelineTest : public ::testing::Test {
 protected:
  absl::Status Run(Numbers source, const std::function<absl::Status(const SourceDocument&)>& store) {
    const BatchSender send = [&](const std::vector<SourceDocument>& batch) {
      absl::MutexLock lock(&mutex_);
      for (const SourceDocument& document : batch) {
        const absl::Status status = store(document);
        if (!status.ok()) return status;
      }
      for (const SourceDocument& document : batch) stored_.insert(document.id);
      return absl::OkStatus();
    };
    return RunPipeline(source, options_, send,
                       {[](const PipelineProgress&) {}, [this](const absl::Status&) { ++rejections_; }}, &progress_);
  }

  PipelineTest() {
    options_.batch_documents = 7;
    options_.retry_base = absl::ZeroDuration();
  }

  PipelineOptions options_;
  PipelineProgress progress_;
  absl::Mutex mutex_;
  std::set<std::string> stored_;
  int rejections_ = 0;
};

TEST_F(PipelineTest, StoresEverythingOnce) {
  ASSERT_TRUE(Run(Numbers(100), [](const SourceDocument&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(stored_.size(), 100u);
  EXPECT_EQ(progress_.stored, 100);
  EXPECT_EQ(progress_.durable, 100);
}

TEST_F(PipelineTest, SkipsWhatAnEarlierRunStored) {
  options_.skip = 40;
  ASSERT_TRUE(Run(Numbers(100), [](const SourceDocument&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(progress_.stored, 60);
  EXPECT_EQ(progress_.durable, 100);
  EXPECT_FALSE(stored_.contains("39"));
  EXPECT_TRUE(stored_.contains("40"));
}

TEST_F(PipelineTest, RetriesAnErrorThatPasses) {
  int failures = 3;
  ASSERT_TRUE(Run(Numbers(20), [&](const SourceDocument&) {
                return failures-- > 0 ? absl::UnavailableError("busy") : absl::OkStatus();
              }).ok());
  EXPECT_EQ(stored_.size(), 20u);
}

TEST_F(PipelineTest, CountsAsDurableOnlyWhatHasNoGapBeforeIt) {
  const absl::Status status = Run(Numbers(100), [](const SourceDocument& document) {
    return document.id == "30" ? absl::PermissionDeniedError("no") : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  // Batches begin at multiples of 7; the one with 30 begins at 28.
  EXPECT_LE(progress_.durable, 28);
  for (int i = 0; i < progress_.durable; ++i) EXPECT_TRUE(stored_.contains(absl::StrCat(i)));
}

TEST_F(PipelineTest, PassesOverBadDocumentsWhenAsked) {
  options_.skip_bad = true;
  ASSERT_TRUE(Run(Numbers(50, {3, 4}), [](const SourceDocument& document) {
                return document.id == "20" ? absl::InvalidArgumentError("refused") : absl::OkStatus();
              }).ok());
  EXPECT_EQ(stored_.size(), 47u);
  EXPECT_EQ(rejections_, 3);
  EXPECT_EQ(progress_.rejected, 3);
  EXPECT_EQ(progress_.durable, 50);
}

TEST_F(PipelineTest, StopsAtABadDocumentOtherwise) {
  const absl::Status status = Run(Numbers(50, {30}), [](const SourceDocument&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(progress_.durable, 30);
}

TEST_F(PipelineTest, StopsAtTheLimit) {
  options_.limit = 12;
  ASSERT_TRUE(Run(Numbers(50), [](const SourceDocument&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(progress_.stored, 12);
}

}  // namespace
}  // namespace alcove::ctl
