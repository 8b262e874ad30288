#include "services/vector-search/backup/backup_folder.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/fs.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

pb::Backup Running(const std::string& name, const std::string& id = "1") {
  pb::Backup backup;
  backup.set_name(name);
  backup.set_id(id);
  backup.set_collection("docs");
  backup.set_state(pb::JOB_STATE_RUNNING);
  return backup;
}

pb::Restore RestoreOf(const std::string& name, const std::string& id = "1") {
  pb::Restore restore;
  restore.set_backup(name);
  restore.set_id(id);
  restore.set_state(pb::JOB_STATE_RUNNING);
  return restore;
}

class BackupFolderTest : public ::testing::Test {
 protected:
  void MakeComplete(const std::string& name, const std::string& tenant = "t") {
    pb::Backup backup = Running(name);
    const auto lock = folder_.Claim(tenant, backup);
    ASSERT_THAT(lock, IsOk());
    backup.set_state(pb::JOB_STATE_COMPLETE);
    ASSERT_THAT(folder_.Update(tenant, backup), IsOk());
  }
  // Everything in the folder, two levels deep, relative to it.
  std::vector<std::string> Files() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.File(""))) {
      out.push_back(std::filesystem::relative(entry.path(), dir_.File("")).string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  const testing::TempDir dir_;
  BackupFolder folder_{dir_.File("backups")};
};

TEST_F(BackupFolderTest, TakesNoNameThatCouldLeaveIt) {
  for (const std::string& name : std::vector<std::string>{"", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "-x",
                                                          "a b", "ä", std::string("a\0b", 3), std::string(101, 'a')}) {
    EXPECT_THAT(BackupFolder::CheckName(name), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name"))) << name;
    EXPECT_THAT(folder_.Claim("t", Running(name)), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(folder_.Get("t", name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(folder_.Remove("t", name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
    EXPECT_THAT(folder_.GetRestore("t", name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  for (const char* name : {"a", "docs-2026.01.31_b", "7"}) EXPECT_THAT(BackupFolder::CheckName(name), IsOk());
  EXPECT_THAT(BackupFolder::CheckName(std::string(100, 'a')), IsOk());
  EXPECT_THAT(Files(), ::testing::IsEmpty());
}

TEST_F(BackupFolderTest, KeepsTenantsApartWhateverTheyAreCalled) {
  const std::vector<std::string> tenants = {
      "t", "T.x", "..", "../up", "a/b", "a%2fb", "ünder", std::string(255, 'x'), std::string(254, 'x') + "y"};
  for (const std::string& tenant : tenants) MakeComplete("same", tenant);
  for (const std::string& tenant : tenants) {
    EXPECT_EQ(folder_.List(tenant, 0, "")->backups.size(), 1u) << tenant;
    EXPECT_THAT(folder_.Remove(tenant, "same"), IsOk()) << tenant;
    EXPECT_THAT(folder_.Get(tenant, "same"), StatusIs(absl::StatusCode::kNotFound)) << tenant;
  }
  for (const std::string& file : Files()) EXPECT_THAT(file, ::testing::StartsWith("backups")) << file;
}

TEST_F(BackupFolderTest, GivesANameToOneOnly) {
  const auto lock = folder_.Claim("t", Running("b", "1"));
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(folder_.Claim("t", Running("b", "2")), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(folder_.Get("t", "b")->id(), "1");
  EXPECT_EQ(folder_.Get("t", "b")->state(), pb::JOB_STATE_RUNNING);
}

TEST_F(BackupFolderTest, SaysThatTheProcessAtWorkIsGoneAndLetsTheNameBeTaken) {
  {
    const auto lock = folder_.Claim("t", Running("b", "1"));
    ASSERT_THAT(lock, IsOk());
  }
  const auto left = folder_.Get("t", "b");
  ASSERT_THAT(left, IsOk());
  EXPECT_EQ(left->state(), pb::JOB_STATE_FAILED);
  EXPECT_EQ(left->error(), kAbandoned);
  const auto again = folder_.Claim("t", Running("b", "2"));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(folder_.Get("t", "b")->id(), "2");
  // The one before cannot write over its successor.
  EXPECT_THAT(folder_.Update("t", Running("b", "1")), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(BackupFolderTest, TellsWhoeverWorksOnItThatABackupWasRemoved) {
  const auto lock = folder_.Claim("t", Running("b"));
  ASSERT_THAT(lock, IsOk());
  ASSERT_THAT(WriteFileAtomically(folder_.DataFile("t", Running("b")) + ".tmp", "half"), IsOk());
  ASSERT_THAT(folder_.Remove("t", "b"), IsOk());
  EXPECT_THAT(folder_.Update("t", Running("b")), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(folder_.Remove("t", "b"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Files(), ::testing::ElementsAre("backups", "backups/t"));
}

TEST_F(BackupFolderTest, FinishesARemovalThatWasCutShort) {
  MakeComplete("a");
  std::filesystem::rename(dir_.File("backups/t/a"), dir_.File("backups/t/.removed-1"));
  EXPECT_TRUE(folder_.List("t", 0, "")->backups.empty());
  MakeComplete("b");
  EXPECT_FALSE(std::filesystem::exists(dir_.File("backups/t/.removed-1")));
}

TEST_F(BackupFolderTest, ListsByNameInPages) {
  for (const char* name : {"c", "a", "e", "b", "d"}) MakeComplete(name);
  std::string names, token;
  int pages = 0;
  do {
    const auto page = folder_.List("t", 2, token);
    ASSERT_THAT(page, IsOk());
    for (const pb::Backup& backup : page->backups) names += backup.name();
    token = page->next_page_token;
    ++pages;
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(names, "abcde");
  EXPECT_EQ(pages, 3);
  EXPECT_TRUE(folder_.List("nobody", 0, "")->backups.empty());
  EXPECT_THAT(folder_.List("t", 1001, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_size")));
  EXPECT_THAT(folder_.List("t", 0, "junk"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
}

TEST_F(BackupFolderTest, RestoresOneThingAtATime) {
  EXPECT_THAT(folder_.ClaimRestore("t", RestoreOf("b")), StatusIs(absl::StatusCode::kNotFound));
  MakeComplete("b");
  EXPECT_THAT(folder_.GetRestore("t", "b"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("restore")));
  {
    const auto lock = folder_.ClaimRestore("t", RestoreOf("b", "1"));
    ASSERT_THAT(lock, IsOk());
    EXPECT_THAT(folder_.ClaimRestore("t", RestoreOf("b", "2")),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
    EXPECT_THAT(folder_.Remove("t", "b"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("restored")));
    EXPECT_EQ(folder_.GetRestore("t", "b")->state(), pb::JOB_STATE_RUNNING);
  }
  EXPECT_EQ(folder_.GetRestore("t", "b")->state(), pb::JOB_STATE_FAILED);
  EXPECT_THAT(folder_.CancelRestore("t", "b"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(folder_.ClaimRestore("t", RestoreOf("b", "2")), IsOk());
}

TEST_F(BackupFolderTest, TellsWhoeverRestoresThatItWasGivenUp) {
  MakeComplete("b");
  const auto lock = folder_.ClaimRestore("t", RestoreOf("b"));
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(folder_.UpdateRestore("t", RestoreOf("b")), IsOk());
  ASSERT_THAT(folder_.CancelRestore("t", "b"), IsOk());
  EXPECT_EQ(folder_.GetRestore("t", "b")->state(), pb::JOB_STATE_FAILED);
  EXPECT_THAT(folder_.UpdateRestore("t", RestoreOf("b")), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(BackupFolderTest, RestoresOnlyWhatIsComplete) {
  const auto lock = folder_.Claim("t", Running("b"));
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(folder_.ClaimRestore("t", RestoreOf("b")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not complete")));
}

TEST_F(BackupFolderTest, SaysWhichSettingIsMissing) {
  BackupFolder none("");
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backup.directory"));
  EXPECT_THAT(none.Claim("t", Running("b")), refused);
  EXPECT_THAT(none.Get("t", "b"), refused);
  EXPECT_THAT(none.List("t", 0, ""), refused);
  EXPECT_THAT(none.Remove("t", "b"), refused);
  EXPECT_THAT(none.GetRestore("t", "b"), refused);
  EXPECT_THAT(none.CancelRestore("t", "b"), refused);
}

TEST_F(BackupFolderTest, CallsADamagedRecordDamaged) {
  MakeComplete("b");
  ASSERT_THAT(WriteFileAtomically(dir_.File("backups/t/b/backup.json"), "{"), IsOk());
  EXPECT_THAT(folder_.Get("t", "b"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("backup.json")));
}

}  // namespace
}  // namespace alcove::vector_search
