#include "libs/store/internal/migrations.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/sql/postgres_driver.h"
#include "libs/store/sql/sqlite_driver.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store::internal {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

// The fixture's store has already brought its database to the current schema.
class MigrationsTest : public StoreTest {
 protected:
  std::unique_ptr<sql::Driver> Driver() {
    absl::StatusOr<std::unique_ptr<sql::Driver>> driver = GetParam() == Engine::kSqlite
                                                              ? sql::OpenSqlite(absl::string_view(url()).substr(7), {})
                                                              : sql::OpenPostgres(url(), {});
    EXPECT_THAT(driver, IsOk());
    return *std::move(driver);
  }
  absl::Status Run(absl::Span<const Migration> migrations) {
    std::unique_ptr<sql::Driver> driver = Driver();
    std::unique_ptr<sql::Connection> c = *driver->Connect();
    absl::Status status = c->Begin(sql::TransactionMode::kWrite);
    if (status.ok()) status = Migrate(*c, GetParam(), migrations, 1);
    if (status.ok()) return c->Commit();
    c->Rollback();
    return status;
  }
};

TEST_P(MigrationsTest, AnAppliedListIsLeftAlone) {
  EXPECT_THAT(Run(Migrations()), IsOk());
  EXPECT_NE(OpenAgain(), nullptr);
}

TEST_P(MigrationsTest, AppliesOnlyWhatIsMissing) {
  std::vector<Migration> longer(Migrations().begin(), Migrations().end());
  const int64_t next = longer.back().version + 1;
  longer.push_back({next, "add", "CREATE TABLE extra (id {KEY}); INSERT INTO extra (id) VALUES (1)"});
  EXPECT_THAT(Run(longer), IsOk());
  EXPECT_THAT(Run(longer), IsOk());  // running the script twice would fail
}

TEST_P(MigrationsTest, AFailedMigrationLeavesNothingBehind) {
  std::vector<Migration> longer(Migrations().begin(), Migrations().end());
  const int64_t next = longer.back().version + 1;
  longer.push_back({next, "half", "CREATE TABLE half (id {KEY}); CREATE NONSENSE"});
  EXPECT_THAT(Run(longer), StatusIs(absl::StatusCode::kInternal, HasSubstr(absl::StrCat("migration ", next))));
  longer.back().sql = "CREATE TABLE half (id {KEY})";  // would fail if the table existed
  EXPECT_THAT(Run(longer), IsOk());
}

TEST_P(MigrationsTest, RefusesASchemaOfANewerVersion) {
  std::vector<Migration> longer(Migrations().begin(), Migrations().end());
  const int64_t next = longer.back().version + 1;
  longer.push_back({next, "future", "CREATE TABLE future (id {KEY})"});
  ASSERT_THAT(Run(longer), IsOk());
  EXPECT_THAT(Open(url()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(absl::StrCat("version ", next))));
}

TEST_P(MigrationsTest, RefusesAMigrationWhoseTextChanged) {
  std::vector<Migration> edited(Migrations().begin(), Migrations().end());
  const std::string text = absl::StrCat(edited[0].sql, " ");
  edited[0].sql = text.c_str();
  EXPECT_THAT(Run(edited), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("migration 1")));
}

TEST_P(MigrationsTest, ProcessesThatOpenANewDatabaseTogetherAllSucceed) {
  std::string fresh;
  if (GetParam() == Engine::kSqlite) {
    fresh = absl::StrCat("sqlite:", folder_.File("fresh.db"));
  } else {
    fresh = *SharedPostgres()->NewDatabase();
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) threads.emplace_back([&] { EXPECT_THAT(Open(fresh), IsOk()); });
  for (std::thread& thread : threads) thread.join();
}

TEST(Migrations, AreNumberedFromOneWithoutGaps) {
  int64_t version = 0;
  for (const Migration& migration : Migrations()) EXPECT_EQ(migration.version, ++version);
}

ALCOVE_ON_BOTH_ENGINES(MigrationsTest);

}  // namespace
}  // namespace alcove::store::internal
