#include "libs/store/key_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class KeyStoreTest : public StoreTest {
 protected:
  KeyStore& keys() { return store().keys(); }
  static ApiKey MakeKey(std::string id, char hash_byte, std::string tenant = "acme") {
    ApiKey key;
    key.id = std::move(id);
    key.tenant = std::move(tenant);
    key.name = "laptop of Ada";
    key.hash = std::string(32, hash_byte);
    key.scopes = {"search", "ingest:docs"};
    return key;
  }
};

TEST_P(KeyStoreTest, FindsAKeyByItsHash) {
  ASSERT_THAT(keys().CreateTenant("acme", "Acme Ltd"), IsOk());
  ApiKey key = MakeKey("key-1", '\0');
  key.expires_at = clock_.Now() + absl::Hours(1);
  ASSERT_THAT(keys().CreateKey(key), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const ApiKey found, keys().FindByHash(std::string(32, '\0')));
  EXPECT_EQ(found.id, "key-1");
  EXPECT_EQ(found.tenant, "acme");
  EXPECT_EQ(found.name, "laptop of Ada");
  EXPECT_THAT(found.scopes, ElementsAre("search", "ingest:docs"));
  EXPECT_EQ(found.created_at, clock_.Now());
  EXPECT_TRUE(found.UsableAt(clock_.Now()));
  EXPECT_FALSE(found.UsableAt(clock_.Now() + absl::Hours(1)));
  EXPECT_THAT(keys().FindByHash(std::string(32, 'x')), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(KeyStoreTest, RefusesTakenIdsAndHashesAndUnknownTenants) {
  using absl::StatusCode;
  ASSERT_THAT(keys().CreateTenant("acme", ""), IsOk());
  EXPECT_THAT(keys().CreateTenant("acme", ""), StatusIs(StatusCode::kAlreadyExists));
  ASSERT_THAT(keys().CreateKey(MakeKey("key-1", 'a')), IsOk());
  EXPECT_THAT(keys().CreateKey(MakeKey("key-1", 'b')), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(keys().CreateKey(MakeKey("key-2", 'a')), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(keys().CreateKey(MakeKey("key-3", 'c', "nobody")), StatusIs(StatusCode::kNotFound));
  ApiKey bad = MakeKey("key-4", 'd');
  bad.scopes = {"two words"};
  EXPECT_THAT(keys().CreateKey(bad), StatusIs(StatusCode::kInvalidArgument));
  bad = MakeKey("key-4", 'd');
  bad.hash = "short";
  EXPECT_THAT(keys().CreateKey(bad), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(KeyStoreTest, ARevokedKeyStaysListedAndKeepsItsFirstTime) {
  ASSERT_THAT(keys().CreateTenant("acme", ""), IsOk());
  ASSERT_THAT(keys().CreateKey(MakeKey("key-1", 'a')), IsOk());
  EXPECT_THAT(keys().RevokeKey("key-1", "other"), StatusIs(absl::StatusCode::kNotFound));
  const absl::Time first = clock_.Now();
  ASSERT_THAT(keys().RevokeKey("key-1", "acme"), IsOk());
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(keys().RevokeKey("key-1")->revoked_at, first);
  EXPECT_FALSE(keys().FindByHash(std::string(32, 'a'))->UsableAt(clock_.Now()));
  EXPECT_THAT(keys().ListKeys("acme")->keys, SizeIs(1));
  EXPECT_THAT(keys().RevokeKey("absent"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(KeyStoreTest, ListsAPageAtATime) {
  ASSERT_THAT(keys().CreateTenant("acme", ""), IsOk());
  ASSERT_THAT(keys().CreateTenant("zeta", ""), IsOk());
  for (int i = 0; i < 5; ++i) ASSERT_THAT(keys().CreateKey(MakeKey(absl::StrCat("key-", i), 'a' + i)), IsOk());
  ASSERT_THAT(keys().CreateKey(MakeKey("other", 'z', "zeta")), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const ApiKeyPage first, keys().ListKeys("acme", {3, ""}));
  EXPECT_THAT(first.keys, SizeIs(3));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const ApiKeyPage second, keys().ListKeys("acme", {3, first.next_page_token}));
  ASSERT_THAT(second.keys, SizeIs(2));
  EXPECT_EQ(second.keys[1].id, "key-4");
  EXPECT_EQ(second.next_page_token, "");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const TenantPage tenants, keys().ListTenants({1, ""}));
  EXPECT_EQ(tenants.tenants[0].id, "acme");
  EXPECT_EQ(keys().ListTenants({1, tenants.next_page_token})->tenants[0].id, "zeta");
}

TEST_P(KeyStoreTest, TouchingKeepsTheLaterTimeAndIsNoChangeOfTheKeys) {
  ASSERT_THAT(keys().CreateTenant("acme", ""), IsOk());
  ASSERT_THAT(keys().CreateKey(MakeKey("key-1", 'a')), IsOk());
  const int64_t version = *keys().Version();
  const absl::Time now = clock_.Now();
  const std::pair<std::string, absl::Time> uses[] = {
      {"key-1", now + absl::Seconds(5)}, {"key-1", now + absl::Seconds(3)}, {"absent", now}};
  ASSERT_THAT(keys().TouchKeys(uses), IsOk());
  EXPECT_EQ(keys().GetKey("key-1")->last_used_at, now + absl::Seconds(5));
  EXPECT_EQ(*keys().Version(), version);
  ASSERT_THAT(keys().RevokeKey("key-1"), IsOk());
  EXPECT_GT(*keys().Version(), version);
}

TEST_P(KeyStoreTest, DisablesATenant) {
  ASSERT_THAT(keys().CreateTenant("acme", "Acme"), IsOk());
  EXPECT_FALSE(keys().GetTenant("acme")->disabled);
  ASSERT_THAT(keys().SetTenantDisabled("acme", true), IsOk());
  EXPECT_TRUE(keys().GetTenant("acme")->disabled);
  EXPECT_THAT(keys().SetTenantDisabled("absent", true), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(keys().GetTenant("absent"), StatusIs(absl::StatusCode::kNotFound));
}

ALCOVE_ON_BOTH_ENGINES(KeyStoreTest);

}  // namespace
}  // namespace alcove::store
