// What can go wrong with a SQLite file, and that nothing is half-written when it does.

#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/store.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

class SqliteErrorsTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_.File("alcove.db"); }
  std::string url() const { return absl::StrCat("sqlite:", path()); }

  void Exec(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }

  // A store with one collection of two shards that holds three small records in shard 0.
  std::unique_ptr<Store> OpenWithRecords(const StoreOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<Store>> store = Open(url(), options);
    EXPECT_THAT(store, IsOk());
    if (!store.ok()) return nullptr;
    const absl::StatusOr<Collection> created = (*store)->collections().Create("t", "docs", "", 2);
    EXPECT_THAT(created, IsOk());
    id_ = created->id;
    EXPECT_THAT(
        (*store)->log().Append({id_, 1, {{0, {{RecordKind::kPut, "a", "1"}, {RecordKind::kPut, "b", "2"}}}}, ""}),
        IsOk());
    EXPECT_THAT((*store)->log().Append({id_, 1, {{0, {{RecordKind::kPut, "c", "3"}}}}, ""}), IsOk());
    return *std::move(store);
  }

  // Appends one batch over both shards, `bytes` in the second.
  absl::Status AppendBoth(Store& store, size_t bytes) {
    const std::string data(bytes, 'x');
    return store.log()
        .Append({id_, 1, {{0, {{RecordKind::kPut, "small", "s"}}}, {1, {{RecordKind::kPut, "big", data}}}}, ""})
        .status();
  }
  Sequence Head(Store& store, int32_t shard) { return store.log().Head({id_, 1, shard})->head_sequence; }

  testing::TempDir folder_;
  CollectionId id_ = 0;
};

TEST_F(SqliteErrorsTest, RefusesUrlsItDoesNotUnderstand) {
  using absl::StatusCode;
  EXPECT_THAT(Open("mysql://x"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("expected sqlite:")));
  EXPECT_THAT(Open(""), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Open("sqlite:"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Open("sqlite://relative.db"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Open(absl::StrCat("sqlite:", folder_.path())), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Open(absl::StrCat("sqlite://", path())), IsOk());  // sqlite:///absolute
}

TEST_F(SqliteErrorsTest, NamesAMissingFolderOrFile) {
  EXPECT_THAT(Open(absl::StrCat("sqlite:", folder_.File("absent/alcove.db"))),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  StoreOptions options;
  options.create_if_missing = false;
  EXPECT_THAT(Open(url(), options), StatusIs(absl::StatusCode::kNotFound, HasSubstr("alcove.db")));
  EXPECT_NE(::access(path().c_str(), F_OK), 0);
}

TEST_F(SqliteErrorsTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(path()) << std::string(20'000, 'x');
  EXPECT_THAT(Open(url()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("alcove.db")));
}

TEST_F(SqliteErrorsTest, AnotherProgramsDatabaseIsNotTouched) {
  Exec("CREATE TABLE recipes (name TEXT)");
  EXPECT_THAT(Open(url()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another program")));
}

TEST_F(SqliteErrorsTest, ADamagedChunkIsFoundByItsChecksum) {
  OpenWithRecords();
  Exec(
      "UPDATE log_tail SET chunk = CAST(substr(chunk, 1, 4) || x'ff' || substr(chunk, 6) AS BLOB) WHERE position % 8 = "
      "2");
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->log().ReadFrom({id_, 1, 0}, {}, 1 << 20),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("shard 0 is damaged at sequence 2")));
}

TEST_F(SqliteErrorsTest, AHoleInTheLogIsNamed) {
  OpenWithRecords();
  Exec("DELETE FROM log_tail WHERE position % 8 = 2");
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->log().ReadFrom({id_, 1, 0}, {}, 1 << 20),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("sequence 1")));
  EXPECT_THAT((*store)->log().ReadFrom({id_, 1, 0}, {2, {}}, 1 << 20), IsOk());
  Exec("DELETE FROM log_tail");
  EXPECT_THAT((*store)->log().ReadFrom({id_, 1, 0}, {2, {}}, 1 << 20),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("sequence 3")));
}

TEST_F(SqliteErrorsTest, ADamagedBaseRecordIsFoundByItsChecksum) {
  std::unique_ptr<Store> store = OpenWithRecords();
  ASSERT_THAT(store->log().Compact({id_, 1, 0}, 3, 1 << 20, nullptr), IsOk());
  Exec("UPDATE log_base SET data = x'00' WHERE position % 8 = 2");
  EXPECT_THAT(store->log().ReadFrom({id_, 1, 0}, {}, 1 << 20),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("sequence 2")));
}

TEST_F(SqliteErrorsTest, AFullQuotaWritesNothingAndIsUsableAgainAfterwards) {
  StoreOptions options;
  options.sqlite_max_bytes = 2 << 20;
  std::unique_ptr<Store> store = OpenWithRecords(options);
  EXPECT_THAT(AppendBoth(*store, 8 << 20), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("full")));
  EXPECT_EQ(Head(*store, 0), 3);
  EXPECT_EQ(Head(*store, 1), 0);
  EXPECT_THAT(AppendBoth(*store, 1000), IsOk());
  EXPECT_EQ(Head(*store, 1), 1);
}

TEST_F(SqliteErrorsTest, OneBatchTooLargeForTheDiskDoesNotFailTheOthersOfItsGroup) {
  StoreOptions options;
  options.sqlite_max_bytes = 2 << 20;
  std::unique_ptr<Store> store = OpenWithRecords(options);
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      if (i == 2) {
        EXPECT_THAT(AppendBoth(*store, 8 << 20), StatusIs(absl::StatusCode::kResourceExhausted));
      } else {
        EXPECT_THAT(AppendBoth(*store, 100), IsOk());
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(Head(*store, 1), 5);
}

// The limit belongs to the whole process: a child of its own.
TEST_F(SqliteErrorsTest, AFullDiskWritesNothingHalf) {
  const auto child = [&] {
    std::unique_ptr<Store> store = OpenWithRecords();
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {3 << 20, 3 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const absl::Status status = AppendBoth(*store, 8 << 20);
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    if (!absl::IsResourceExhausted(status)) ::_exit(1);
    if (Head(*store, 0) != 3 || Head(*store, 1) != 0) ::_exit(2);
    if (!AppendBoth(*store, 1000).ok()) ::_exit(3);
    ::_exit(0);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "RESOURCE_EXHAUSTED");
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
  ASSERT_THAT(store, IsOk());
  id_ = (*store)->collections().Get("t", "docs")->id;
  EXPECT_EQ(Head(**store, 0), 4);
  EXPECT_EQ(Head(**store, 1), 1);
}

// Root may write anywhere, so the child gives its rights up.
TEST_F(SqliteErrorsTest, AReadOnlyFolderOrFileIsPermissionDenied) {
  const auto open_without_rights = [&](int expected_exit) {
    if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(9);
    const absl::Status status = Open(url()).status();
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    ::_exit(absl::IsPermissionDenied(status) ? expected_exit : 1);
  };
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0555), 0);
  EXPECT_EXIT(open_without_rights(0), ::testing::ExitedWithCode(0), "PERMISSION_DENIED");
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  OpenWithRecords();
  ASSERT_EQ(::chmod(path().c_str(), 0444), 0);
  ASSERT_EQ(::chmod(absl::StrCat(path(), "-turn").c_str(), 0444), 0);
  EXPECT_EXIT(open_without_rights(0), ::testing::ExitedWithCode(0), "PERMISSION_DENIED");
}

TEST_F(SqliteErrorsTest, AWriterThatKeepsTheLockMakesOthersUnavailableNotStuck) {
  StoreOptions options;
  options.busy_timeout = absl::Milliseconds(50);
  std::unique_ptr<Store> store = OpenWithRecords(options);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_THAT(AppendBoth(*store, 10), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("lock")));
  EXPECT_EQ(Head(*store, 0), 3);  // reading goes on
  sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  EXPECT_THAT(AppendBoth(*store, 10), IsOk());
}

TEST_F(SqliteErrorsTest, KeepsItsRecordsWhenOpenedAgain) {
  OpenWithRecords();
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
  ASSERT_THAT(store, IsOk());
  EXPECT_EQ(Head(**store, 0), 3);
  EXPECT_THAT((*store)->Ping(), IsOk());
  EXPECT_EQ((*store)->location(), url());
}

}  // namespace
}  // namespace alcove::store
