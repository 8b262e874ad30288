#include "libs/store/collection_store.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/log_store.h"
#include "libs/store/testing/store_fixture.h"

namespace alcove::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class CollectionStoreTest : public StoreTest {
 protected:
  CollectionStore& collections() { return store().collections(); }
  Collection MustCreate(absl::string_view tenant, absl::string_view name, int32_t shards = 1) {
    absl::StatusOr<Collection> created = collections().Create(tenant, name, "config", shards);
    EXPECT_TRUE(created.ok()) << created.status();
    return *created;
  }
};

TEST_P(CollectionStoreTest, GivesBackWhatWasCreated) {
  const std::string config = std::string("a\0b\xff\x01", 5);
  absl::StatusOr<Collection> created = collections().Create("acme", "docs ä", config, 3);
  ASSERT_TRUE(created.ok()) << created.status();
  absl::StatusOr<Collection> read = collections().Get("acme", "docs ä");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->id, created->id);
  EXPECT_GT(read->id, 0);
  EXPECT_EQ(read->tenant, "acme");
  EXPECT_EQ(read->config, config);
  EXPECT_EQ(read->config_revision, 1);
  EXPECT_EQ(read->placement, (Placement{3, 1}));
  EXPECT_FALSE(read->next_placement.has_value());
  EXPECT_EQ(read->state, CollectionState::kActive);
  EXPECT_EQ(read->created_at, clock_.Now());
  EXPECT_EQ(collections().GetById(created->id)->name, "docs ä");
}

TEST_P(CollectionStoreTest, RefusesASecondOfTheSameNameInOneTenantOnly) {
  MustCreate("acme", "docs");
  EXPECT_EQ(collections().Create("acme", "docs", "", 1).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(collections().Create("other", "docs", "", 1).ok());
}

TEST_P(CollectionStoreTest, NamesWhatIsOutOfBounds) {
  EXPECT_THAT(std::string(collections().Create("", "docs", "", 1).status().message()), HasSubstr("tenant"));
  EXPECT_THAT(std::string(collections().Create("t", std::string(256, 'x'), "", 1).status().message()),
              HasSubstr("256 bytes"));
  EXPECT_EQ(collections().Create("t", "bad\xff", "", 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(collections().Create("t", std::string("nul\0", 4), "", 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(collections().Create("t", "c", "", 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(collections().Create("t", "c", "", 4097).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(collections().Get("t", "absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(collections().GetById(99).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(CollectionStoreTest, ListsByNameAPageAtATime) {
  for (const char* name : {"b", "a", "Z", "ä", "c"}) MustCreate("acme", name);
  MustCreate("other", "x");
  std::vector<std::string> names;
  PageRequest page{2, ""};
  int pages = 0;
  do {
    absl::StatusOr<CollectionPage> got = collections().List("acme", page);
    ASSERT_TRUE(got.ok()) << got.status();
    for (const Collection& c : got->collections) names.push_back(c.name);
    page.page_token = got->next_page_token;
    ++pages;
  } while (!page.page_token.empty());
  EXPECT_THAT(names, ElementsAre("Z", "a", "b", "c", "ä"));  // by bytes, on every engine
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(collections().ListAll({3, ""})->collections, SizeIs(3));
  EXPECT_EQ(collections().List("acme", {2, "nonsense"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(collections().List("acme", {1001, ""}).status().code(), absl::StatusCode::kInvalidArgument);
  // A token belongs to its listing.
  const std::string all_token = collections().ListAll({1, ""})->next_page_token;
  EXPECT_EQ(collections().List("acme", {1, all_token}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(CollectionStoreTest, UpdatesTheConfigurationOnlyOfTheExpectedRevision) {
  MustCreate("acme", "docs");
  EXPECT_EQ(collections().UpdateConfig("acme", "docs", "two", 1)->config_revision, 2);
  EXPECT_EQ(collections().UpdateConfig("acme", "docs", "late", 1).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(collections().UpdateConfig("acme", "docs", "three")->config_revision, 3);
  EXPECT_EQ(collections().Get("acme", "docs")->config, "three");
  EXPECT_EQ(collections().UpdateConfig("acme", "absent", "x").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(CollectionStoreTest, CatalogVersionGrowsWithEachChangeOfAnyProcess) {
  std::unique_ptr<Store> other = OpenAgain();
  int64_t last = *collections().CatalogVersion();
  const auto grew = [&] { return std::exchange(last, *collections().CatalogVersion()) < last; };
  ASSERT_TRUE(other->collections().Create("acme", "docs", "", 1).ok());
  EXPECT_TRUE(grew());
  EXPECT_FALSE(grew());
  ASSERT_TRUE(other->collections().UpdateConfig("acme", "docs", "x").ok());
  EXPECT_TRUE(grew());
  ASSERT_TRUE(other->collections().Delete("acme", "docs").ok());
  EXPECT_TRUE(grew());
}

TEST_P(CollectionStoreTest, DeletingFreesTheNameAndDroppingRemovesTheLog) {
  const Collection first = MustCreate("acme", "docs", 2);
  ASSERT_TRUE(store().log().Append({first.id, 1, {{1, {{RecordKind::kPut, "k", "v"}}}}, "once"}).ok());
  EXPECT_EQ(store().log().DropCollection(first.id).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(collections().Delete("acme", "docs").ok());
  EXPECT_EQ(collections().Get("acme", "docs").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(collections().GetById(first.id)->state, CollectionState::kDropping);
  EXPECT_EQ(collections().Delete("acme", "docs").status().code(), absl::StatusCode::kNotFound);
  const Collection second = MustCreate("acme", "docs");
  EXPECT_GT(second.id, first.id);
  EXPECT_EQ(store().log().Append({first.id, 1, {{1, {{RecordKind::kPut, "k", "v"}}}}, ""}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(store().log().DropCollection(first.id).value(), true);
  EXPECT_EQ(collections().GetById(first.id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*store().log().Heads(first.id), SizeIs(0));
  EXPECT_THAT(*store().log().AllHeads(), SizeIs(1));
}

TEST_P(CollectionStoreTest, AppendsGoToThePlacementInForceOnly) {
  const Collection c = MustCreate("acme", "docs", 2);
  const auto append = [&](int64_t epoch, int32_t shard) {
    return store().log().Append({c.id, epoch, {{shard, {{RecordKind::kPut, "k", "v"}}}}, ""}).status().code();
  };
  const auto last = [](absl::string_view, int32_t shards) { return shards - 1; };
  EXPECT_EQ(append(2, 0), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(collections().BeginResharding(c.id, 2).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(collections().BeginResharding(c.id, 3)->next_placement, (Placement{3, 2}));
  EXPECT_EQ(collections().BeginResharding(c.id, 4).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(append(1, 1), absl::StatusCode::kOk);
  EXPECT_EQ(append(2, 2), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store().log().DropEpoch(c.id, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(store().log().CommitResharding(c.id, 1 << 20, last)->committed);
  EXPECT_EQ(collections().GetById(c.id)->placement, (Placement{3, 2}));
  EXPECT_THAT(collections().GetById(c.id)->floors, ::testing::ElementsAre(0, 0, 1));
  EXPECT_EQ(append(1, 1), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(append(2, 2), absl::StatusCode::kOk);
  EXPECT_EQ(*store().log().DropEpoch(c.id, 1), true);
  EXPECT_EQ(store().log().Head({c.id, 1, 0}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store().log().Head({c.id, 2, 2})->head_sequence, 2);
}

TEST_P(CollectionStoreTest, AnAliasLeadsToOneCollectionAndMovesInOneStep) {
  MustCreate("acme", "blue");
  const Collection green = MustCreate("acme", "green");
  EXPECT_EQ(collections().SetAlias("acme", "live", "absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(collections().SetAlias("acme", "green", "blue").status().code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(collections().SetAlias("acme", "live", "blue").ok());
  const int64_t version = *collections().CatalogVersion();
  EXPECT_EQ(*collections().SetAlias("acme", "live", "green"), (Alias{"live", green.id, "green"}));
  EXPECT_GT(*collections().CatalogVersion(), version);
  EXPECT_THAT(collections().ListAliases("acme")->aliases, ::testing::ElementsAre(Alias{"live", green.id, "green"}));
  EXPECT_THAT(collections().ListAliases("other")->aliases, SizeIs(0));
  EXPECT_THAT(*collections().AllAliases(), SizeIs(1));
  EXPECT_EQ(collections().Create("acme", "live", "", 1).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(collections().Create("other", "live", "", 1).ok());
  EXPECT_EQ(collections().Delete("acme", "green").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(collections().Delete("acme", "blue").ok());
  ASSERT_TRUE(collections().DeleteAlias("acme", "live").ok());
  EXPECT_EQ(collections().DeleteAlias("acme", "live").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(collections().Delete("acme", "green").ok());
}

TEST_P(CollectionStoreTest, AQuotaOfCollectionsHoldsAmongConcurrentCreators) {
  std::atomic<int> created{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const absl::Status status = collections().Create("acme", absl::StrCat("c", i), "", 1, 4).status();
      if (status.ok()) {
        ++created;
      } else {
        EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(created, 4);
  ASSERT_TRUE(collections().Delete("acme", collections().List("acme")->collections[0].name).ok());
  EXPECT_TRUE(collections().Create("acme", "again", "", 1, 4).ok());
}

TEST_P(CollectionStoreTest, AnAbortedReshardingNeverReusesItsEpoch) {
  const Collection c = MustCreate("acme", "docs", 2);
  ASSERT_TRUE(collections().BeginResharding(c.id, 3).ok());
  ASSERT_TRUE(collections().AbortResharding(c.id).ok());
  EXPECT_EQ(collections().AbortResharding(c.id).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(collections().BeginResharding(c.id, 5)->next_placement, (Placement{5, 3}));
}

TEST_P(CollectionStoreTest, OneOfManyConcurrentCreatorsWins) {
  std::atomic<int> created{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const absl::Status status = collections().Create("acme", "docs", "", 1).status();
      if (status.ok()) ++created;
      if (absl::IsAlreadyExists(status)) ++refused;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(created, 1);
  EXPECT_EQ(refused, 3);
}

ALCOVE_ON_BOTH_ENGINES(CollectionStoreTest);

}  // namespace
}  // namespace alcove::store
