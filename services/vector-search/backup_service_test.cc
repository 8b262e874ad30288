// BackupService over gRPC: what a caller sees of the jobs, which backup/ tests by themselves.
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/vector-search/service_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

class BackupServiceTest : public ServiceTest {
 protected:
  void Configure(config::v1::VectorSearchConfig& config) override {
    config.mutable_backup()->set_directory(dir_.File("backups"));
    auto& quota = *config.add_quotas();
    quota.set_tenant("small");
    quota.set_collections(1);
  }
  pb::Backup AwaitBackup(const std::string& name) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (true) {
      const auto reply = GetBackup(absl::StrCat(R"({"name": ")", name, "\"}"));
      EXPECT_THAT(reply, IsOk());
      if (!reply.ok() || reply->backup().state() != pb::JOB_STATE_RUNNING || absl::Now() > deadline) {
        return reply.ok() ? reply->backup() : pb::Backup();
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  pb::Restore AwaitRestore(const std::string& name) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (true) {
      const auto reply = GetRestore(absl::StrCat(R"({"name": ")", name, "\"}"));
      EXPECT_THAT(reply, IsOk());
      if (!reply.ok() || reply->restore().state() != pb::JOB_STATE_RUNNING || absl::Now() > deadline) {
        return reply.ok() ? reply->restore() : pb::Restore();
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
};

TEST_F(BackupServiceTest, ACollectionComesBackBesideItselfAndIsSearchedThere) {
  CreateDocs();
  FillDocs();
  const auto created = CreateBackup(R"({"name": "b1", "collection": "docs"})");
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->backup().state(), pb::JOB_STATE_RUNNING);
  const pb::Backup backup = AwaitBackup("b1");
  ASSERT_EQ(backup.state(), pb::JOB_STATE_COMPLETE) << backup.error();
  EXPECT_EQ(backup.records(), 3u);
  EXPECT_GT(backup.bytes(), 0u);

  EXPECT_THAT(StartRestore(R"({"name": "b1"})"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("docs")));
  EXPECT_THAT(StartRestore(R"({"name": "b1", "collection": "a/b"})"), StatusIs(absl::StatusCode::kInvalidArgument));
  ALCOVE_ASSERT_OK(StartRestore(R"({"name": "b1", "collection": "copy"})"));
  const pb::Restore restore = AwaitRestore("b1");
  ASSERT_EQ(restore.state(), pb::JOB_STATE_COMPLETE) << restore.error();
  // Known at once, and written to after what it had.
  ALCOVE_ASSERT_OK(
      UpsertPoints(R"({"collection": "copy", "wait": true, "points": [{"id": "d", "vector": [3, 0.1]}]})"));
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "copy", "vector": [1, 0], "limit": 3})")), "adb");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0], "limit": 3})")), "abc");
}

TEST_F(BackupServiceTest, AnAliasStandsForItsCollection) {
  CreateDocs();
  ALCOVE_ASSERT_OK(SetAlias(R"({"alias": "live", "collection": "docs"})"));
  const auto created = CreateBackup(R"({"collection": "live"})");
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->backup().collection(), "docs");
  EXPECT_THAT(created->backup().name(), ::testing::StartsWith("docs-"));
  EXPECT_EQ(AwaitBackup(created->backup().name()).state(), pb::JOB_STATE_COMPLETE);
  EXPECT_THAT(StartRestore(absl::StrCat(R"({"collection": "live", "name": ")", created->backup().name(), "\"}")),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("alias")));
}

TEST_F(BackupServiceTest, BackupsAreListedRemovedAndBelongToTheirTenant) {
  CreateDocs();
  for (const char* name : {"b2", "b1"}) {
    ALCOVE_ASSERT_OK(CreateBackup(absl::StrCat(R"({"collection": "docs", "name": ")", name, "\"}")));
    ASSERT_EQ(AwaitBackup(name).state(), pb::JOB_STATE_COMPLETE);
  }
  const auto page = ListBackups(R"({"page_size": 1})");
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->backups_size(), 1);
  EXPECT_EQ(page->backups(0).name(), "b1");
  const auto rest = ListBackups(absl::StrCat(R"({"page_token": ")", page->next_page_token(), "\"}"));
  ASSERT_THAT(rest, IsOk());
  ASSERT_EQ(rest->backups_size(), 1);
  EXPECT_EQ(rest->backups(0).name(), "b2");
  EXPECT_EQ(rest->next_page_token(), "");

  ctx_ = RequestContext({.tenant = "another", .request_id = "r"});
  EXPECT_EQ(ListBackups("{}")->backups_size(), 0);
  EXPECT_THAT(GetBackup(R"({"name": "b1"})"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("b1")));
  EXPECT_THAT(StartRestore(R"({"name": "b1"})"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(DeleteBackup(R"({"name": "b1"})"), StatusIs(absl::StatusCode::kNotFound));
  ctx_ = RequestContext({.tenant = "t", .request_id = "r"});
  ALCOVE_ASSERT_OK(DeleteBackup(R"({"name": "b1"})"));
  EXPECT_THAT(GetBackup(R"({"name": "b1"})"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ListBackups("{}")->backups_size(), 1);
}

TEST_F(BackupServiceTest, SaysWhatIsWrongWithACall) {
  EXPECT_THAT(CreateBackup(R"({"collection": "absent"})"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  EXPECT_THAT(CreateBackup(R"({"name": "../../etc/cron.d/x"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name")));
  EXPECT_THAT(GetBackup(R"({"name": ".."})"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(GetRestore(R"({"name": "b"})"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(CancelRestore(R"({"name": "b"})"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ListBackups(R"({"page_size": 5000})"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BackupServiceTest, ARestoreKeepsToTheQuota) {
  ctx_ = RequestContext({.tenant = "small", .request_id = "r"});
  CreateDocs();
  ALCOVE_ASSERT_OK(CreateBackup(R"({"name": "b", "collection": "docs"})"));
  ASSERT_EQ(AwaitBackup("b").state(), pb::JOB_STATE_COMPLETE);
  EXPECT_THAT(StartRestore(R"({"name": "b", "collection": "copy"})"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("quota")));
  ALCOVE_ASSERT_OK(DeleteCollection(R"({"name": "docs"})"));
  ALCOVE_ASSERT_OK(StartRestore(R"({"name": "b"})"));
  EXPECT_EQ(AwaitRestore("b").state(), pb::JOB_STATE_COMPLETE);
  EXPECT_THAT(GetCollection(R"({"name": "docs"})"), IsOk());
}

using WithoutBackups = ServiceTest;

TEST_F(WithoutBackups, EveryCallSaysThatTheyAreNotConfigured) {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("backups are not configured"));
  EXPECT_THAT(CreateBackup(R"({"collection": "absent"})"), refused);
  EXPECT_THAT(ListBackups("{}"), refused);
  EXPECT_THAT(GetBackup(R"({"name": "b"})"), refused);
  EXPECT_THAT(DeleteBackup(R"({"name": "b"})"), refused);
  EXPECT_THAT(StartRestore(R"({"name": "b"})"), refused);
  EXPECT_THAT(GetRestore(R"({"name": "b"})"), refused);
  EXPECT_THAT(CancelRestore(R"({"name": "b"})"), refused);
}

}  // namespace
}  // namespace alcove::vector_search
