// Jobs run on the caller (a pool without threads), so that a test decides what happens in the middle of one: a clock
// that is looked at between its pieces.
#include "services/vector-search/backup/backup_jobs.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/fs.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/store.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

// The real time; calls `look` at each look at it, once set.
class WatchedClock final : public Clock {
 public:
  absl::Time Now() const override {
    const std::function<void()> now = look;  // which may replace it
    if (now) now();
    return RealClock()->Now();
  }
  int64_t MonotonicNanos() const override { return RealClock()->MonotonicNanos(); }
  bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) override {
    return RealClock()->AwaitWithDeadline(mu, condition, deadline);
  }
  std::function<void()> look;
};

class BackupJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = store::Open("sqlite:" + dir_.File("test.db"));
    ASSERT_THAT(opened, IsOk());
    store_ = *std::move(opened);
    const store::Collection docs = *store_->collections().Create("t", "docs", "settings", 2);
    for (int i = 0; i < 20; ++i) {
      ASSERT_THAT(
          store_->log().Append(
              {docs.id, 1, {{i % 2, {{store::RecordKind::kPut, absl::StrCat("k", i), std::string(9, 'x')}}}}, ""}),
          IsOk());
    }
    Make();
  }
  void Make(BackupHooks hooks = {}) {
    BackupJobsOptions options;
    options.directory = dir_.File("backups");
    options.threads = 0;
    options.note_every = absl::ZeroDuration();
    options.clock = &clock_;
    options.registry = &registry_;
    jobs_ = std::make_unique<BackupJobs>(options, &store_->backups(), std::move(hooks));
  }

  const testing::TempDir dir_;
  Registry registry_;
  WatchedClock clock_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<BackupJobs> jobs_;
};

TEST_F(BackupJobsTest, ABackupIsCompleteAndComesBackUnderAnotherName) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  const auto made = jobs_->Get("t", "b");
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->state(), pb::JOB_STATE_COMPLETE);
  EXPECT_EQ(made->progress(), 1);
  EXPECT_EQ(made->collections(), 1u);
  EXPECT_EQ(made->records(), 20u);
  const std::string file = jobs_->folder().DataFile("t", *made);
  EXPECT_EQ(made->bytes(), std::filesystem::file_size(file));
  EXPECT_EQ(made->sha256().size(), 64u);
  EXPECT_LE(made->taken_at().seconds(), made->finished_at().seconds());

  int told = 0;
  Make({.restored = [&] { ++told; }});
  ASSERT_THAT(jobs_->StartRestore("t", "b", "copy"), IsOk());
  const auto restored = jobs_->GetRestore("t", "b");
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->state(), pb::JOB_STATE_COMPLETE) << restored->error();
  EXPECT_EQ(restored->collection(), "copy");
  EXPECT_EQ(restored->records(), 20u);
  EXPECT_EQ(told, 1);
  const auto copy = store_->collections().Get("t", "copy");
  ASSERT_THAT(copy, IsOk());
  EXPECT_EQ(store_->log().Head({copy->id, 1, 0})->head_sequence, 10);
}

TEST_F(BackupJobsTest, TheChecksumIsThatOfTheFile) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  const auto made = jobs_->Get("t", "b");
  const std::string command = absl::StrCat("sha256sum ", jobs_->folder().DataFile("t", *made));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  ASSERT_NE(pipe, nullptr);
  std::string sum(64, '\0');
  ASSERT_EQ(std::fread(sum.data(), 1, sum.size(), pipe.get()), sum.size());
  EXPECT_EQ(made->sha256(), sum);
}

TEST_F(BackupJobsTest, AllOfATenantsCollectionsComeBackTogether) {
  ASSERT_THAT(store_->collections().Create("t", "more", "settings", 1), IsOk());
  ASSERT_THAT(jobs_->Create("t", "", ""), IsOk());
  const auto page = jobs_->List("t", 0, "");
  ASSERT_EQ(page->backups.size(), 1u);
  const pb::Backup& made = page->backups[0];
  EXPECT_THAT(made.name(), ::testing::StartsWith("all-"));
  EXPECT_EQ(made.collections(), 2u);
  EXPECT_THAT(jobs_->StartRestore("t", made.name(), "copy"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("collection")));
  ASSERT_THAT(store_->collections().Delete("t", "docs"), IsOk());
  ASSERT_THAT(jobs_->StartRestore("t", made.name(), ""), IsOk());
  EXPECT_THAT(jobs_->GetRestore("t", made.name())->error(), HasSubstr("more")) << "it is there already";
  ASSERT_THAT(store_->collections().Delete("t", "more"), IsOk());
  ASSERT_THAT(jobs_->StartRestore("t", made.name(), ""), IsOk());
  EXPECT_EQ(jobs_->GetRestore("t", made.name())->state(), pb::JOB_STATE_COMPLETE);
  EXPECT_THAT(store_->collections().Get("t", "docs"), IsOk());
}

TEST_F(BackupJobsTest, WhatCannotBeMadeIsNotedAndItsNameFree) {
  ASSERT_THAT(jobs_->Create("t", "b", "absent"), IsOk());
  const auto made = jobs_->Get("t", "b");
  EXPECT_EQ(made->state(), pb::JOB_STATE_FAILED);
  EXPECT_THAT(made->error(), HasSubstr("absent"));
  EXPECT_THAT(jobs_->StartRestore("t", "b", ""), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("absent")));
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  EXPECT_EQ(jobs_->Get("t", "b")->state(), pb::JOB_STATE_COMPLETE);
  EXPECT_THAT(jobs_->Create("t", "b", "docs"), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(BackupJobsTest, RemovingABackupEndsTheJobThatMakesIt) {
  bool removed = false;
  clock_.look = [&] {
    const auto made = jobs_->Get("t", "b");
    // In the middle: some of it is written.
    if (!made.ok() || !std::filesystem::exists(jobs_->folder().DataFile("t", *made) + ".tmp")) return;
    removed = true;
    EXPECT_THAT(jobs_->Delete("t", "b"), IsOk());
  };
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  clock_.look = nullptr;
  EXPECT_TRUE(removed);
  EXPECT_THAT(jobs_->Get("t", "b"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(jobs_->List("t", 0, "")->backups.empty());
  EXPECT_TRUE(std::filesystem::is_empty(dir_.File("backups/t")));
}

TEST_F(BackupJobsTest, ARestoreThatIsGivenUpLeavesNothing) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  bool cancelled = false;
  clock_.look = [&] {
    if (!cancelled) cancelled = jobs_->CancelRestore("t", "b").ok();
  };
  ASSERT_THAT(jobs_->StartRestore("t", "b", "copy"), IsOk());
  clock_.look = nullptr;
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(jobs_->GetRestore("t", "b")->state(), pb::JOB_STATE_FAILED);
  EXPECT_THAT(jobs_->GetRestore("t", "b")->error(), HasSubstr("given up"));
  EXPECT_THAT(store_->collections().Get("t", "copy"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(jobs_->StartRestore("t", "b", "copy"), IsOk());
  EXPECT_EQ(jobs_->GetRestore("t", "b")->state(), pb::JOB_STATE_COMPLETE);
}

TEST_F(BackupJobsTest, ADamagedFileIsRefusedBeforeAnythingAppears) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  const std::string file = jobs_->folder().DataFile("t", *jobs_->Get("t", "b"));
  std::string bytes = *ReadFile(file, 1 << 20);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_THAT(WriteFileAtomically(file, bytes), IsOk());
  ASSERT_THAT(jobs_->StartRestore("t", "b", "copy"), IsOk());
  EXPECT_THAT(jobs_->GetRestore("t", "b")->error(), HasSubstr("damaged at byte"));
  EXPECT_THAT(store_->collections().Get("t", "copy"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BackupJobsTest, ARestoreNeedsRoom) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  Make({.check_room = [](const std::string& tenant, int64_t collections, int64_t points) {
    return absl::ResourceExhaustedError(absl::StrCat(tenant, " ", collections, " ", points));
  }});
  EXPECT_THAT(jobs_->StartRestore("t", "b", "copy"), StatusIs(absl::StatusCode::kResourceExhausted, "t 1 20"));
}

TEST_F(BackupJobsTest, TakesNothingAfterStop) {
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  jobs_->Stop();
  EXPECT_THAT(jobs_->Create("t", "c", "docs"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(jobs_->StartRestore("t", "b", "copy"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(jobs_->Get("t", "b")->state(), pb::JOB_STATE_COMPLETE);
}

TEST_F(BackupJobsTest, StoppingInTheMiddleIsNotedAsAFailure) {
  clock_.look = [&] {
    if (!jobs_->Get("t", "b").ok()) return;
    clock_.look = nullptr;
    jobs_->BeginStop();
  };
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  EXPECT_EQ(jobs_->Get("t", "b")->state(), pb::JOB_STATE_FAILED);
  EXPECT_THAT(jobs_->Get("t", "b")->error(), HasSubstr("stopped"));
}

TEST_F(BackupJobsTest, RefusesMoreJobsThanItMayKeepWaiting) {
  BackupJobsOptions options;
  options.directory = dir_.File("backups");
  options.threads = 0;
  options.max_jobs = 1;
  options.note_every = absl::ZeroDuration();
  options.clock = &clock_;
  jobs_ = std::make_unique<BackupJobs>(options, &store_->backups(), BackupHooks());
  absl::Status second;
  clock_.look = [&] {
    if (!jobs_->Get("t", "b").ok()) return;
    clock_.look = nullptr;
    second = jobs_->Create("t", "c", "docs").status();
  };
  ASSERT_THAT(jobs_->Create("t", "b", "docs"), IsOk());
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(jobs_->Create("t", "d", "docs"), IsOk()) << "the place is free again";
}

}  // namespace
}  // namespace alcove::vector_search
