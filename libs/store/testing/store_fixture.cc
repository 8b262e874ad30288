#include "libs/store/testing/store_fixture.h"

#include "absl/strings/str_cat.h"
#include "libs/store/collection_store.h"

namespace alcove::store {

testing::PostgresFixture* SharedPostgres() {
  static std::unique_ptr<testing::PostgresFixture> server = [] {
    auto started = testing::PostgresFixture::Start();
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }();
  return server.get();
}

void StoreTest::SetUp() {
  if (GetParam() == Engine::kSqlite) {
    url_ = absl::StrCat("sqlite:", folder_.File("alcove.db"));
  } else {
    testing::PostgresFixture* server = SharedPostgres();
    ASSERT_NE(server, nullptr);
    absl::StatusOr<std::string> database = server->NewDatabase();
    ASSERT_TRUE(database.ok()) << database.status();
    url_ = *database;
  }
  store_ = OpenAgain();
  ASSERT_NE(store_, nullptr);
}

std::unique_ptr<Store> StoreTest::OpenAgain(StoreOptions options) {
  if (options.clock == nullptr) options.clock = &clock_;
  absl::StatusOr<std::unique_ptr<Store>> store = Open(url_, options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

int64_t StoreTest::MakeCollection(absl::string_view name, int32_t shards) {
  absl::StatusOr<Collection> created = store().collections().Create("tenant", name, "", shards);
  EXPECT_TRUE(created.ok()) << created.status();
  return created.ok() ? created->id : 0;
}

std::string EngineName(const ::testing::TestParamInfo<Engine>& info) {
  return info.param == Engine::kSqlite ? "Sqlite" : "Postgres";
}

}  // namespace alcove::store
