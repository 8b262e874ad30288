// What can go wrong between the store and a PostgreSQL server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/sql/connection.h"
#include "libs/store/store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(PostgresErrors, AnAbsentServerIsUnavailableAndNamedWithoutThePassword) {
  const std::string url = absl::StrCat("postgresql://ada:secret@127.0.0.1:", testing::FreePort(), "/alcove");
  EXPECT_THAT(Open(url),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("127.0.0.1"), Not(HasSubstr("secret")))));
  EXPECT_THAT(Open("host=/nonexistent dbname=alcove password='a secret'"),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("/nonexistent"), Not(HasSubstr("secret")))));
}

TEST(PostgresErrors, PasswordsNeverAppearInMessages) {
  EXPECT_EQ(sql::RedactUrl("postgresql://ada:s:e@c@host/db?password=x&a=b"),
            "postgresql://ada@host/db?password=***&a=b");
  EXPECT_EQ(sql::RedactUrl("host=h password='it\\'s secret' user=u"), "host=h password=*** user=u");
  EXPECT_EQ(sql::RedactUrl("postgresql://host:5432/db"), "postgresql://host:5432/db");
}

TEST(PostgresErrors, AMalformedUrlIsInvalid) {
  EXPECT_THAT(Open("postgresql://host:notaport/db"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Open("nonsense=1"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PostgresErrors, AMissingDatabaseAndAMissingUserAreTold) {
  testing::PostgresFixture* server = SharedPostgres();
  ASSERT_NE(server, nullptr);
  EXPECT_THAT(Open(server->url("absent")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
  std::string url = server->url("postgres");
  url.replace(url.find("alcove@"), 7, "nobody_known@");
  EXPECT_THAT(Open(url), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("nobody_known")));
}

TEST(PostgresErrors, AServerThatDiesIsUnavailableAndTheStoreRecoversWithItLosingNothing) {
  absl::StatusOr<std::unique_ptr<testing::PostgresFixture>> server = testing::PostgresFixture::Start();
  ASSERT_THAT(server, IsOk());
  absl::StatusOr<std::string> url = (*server)->NewDatabase();
  ASSERT_THAT(url, IsOk());
  absl::StatusOr<std::unique_ptr<Store>> store = Open(*url);
  ASSERT_THAT(store, IsOk());
  const absl::StatusOr<Collection> docs = (*store)->collections().Create("t", "docs", "", 1);
  ASSERT_THAT(docs, IsOk());
  const AppendRequest request{docs->id, 1, {{0, {{RecordKind::kPut, "k", "v"}}}}, ""};
  ASSERT_THAT((*store)->log().Append(request), IsOk());

  (*server)->Kill();
  EXPECT_THAT((*store)->log().Append(request), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT((*store)->Ping(), StatusIs(absl::StatusCode::kUnavailable));

  ASSERT_THAT((*server)->Restart(), IsOk());
  EXPECT_THAT((*store)->Ping(), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const AppendResult result, (*store)->log().Append(request));
  EXPECT_EQ(result.shards[0].last_sequence, 2);
}

}  // namespace
}  // namespace alcove::store
