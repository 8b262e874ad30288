#include "services/vector-search/catalog/catalog.h"

#include <cstdlib>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/store/log_store.h"
#include "libs/store/store.h"

namespace alcove::vector_search {
namespace {

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = ::testing::TempDir() + "catalogXXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    url_ = "sqlite:" + folder + "/test.db";
    store_ = store::Open(url_).value();
  }

  static std::string Settings(uint32_t dimension) {
    CollectionConfig config;
    config.vectors[""].dimension = dimension;
    return EncodeConfig(config);
  }

  std::string url_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(CatalogTest, FindsACollectionAnotherProcessHasJustMade) {
  Catalog catalog(&store_->collections());
  EXPECT_TRUE(absl::IsNotFound(catalog.Find("t", "docs").status()));
  auto other = store::Open(url_).value();
  ASSERT_TRUE(other->collections().Create("t", "docs", Settings(7), 2).ok());
  const auto entry = catalog.Find("t", "docs");
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ((*entry)->config.vectors.at("").dimension, 7u);
  EXPECT_EQ((*entry)->placement.shard_count, 2);
  EXPECT_EQ(catalog.FindById((*entry)->id).value(), *entry);
  EXPECT_TRUE(absl::IsNotFound(catalog.Find("other-tenant", "docs").status()));
}

TEST_F(CatalogTest, ForgetsADroppedCollectionAtTheNextLookAndTellsItsListener) {
  Catalog catalog(&store_->collections());
  ASSERT_TRUE(store_->collections().Create("t", "docs", Settings(3), 1).ok());
  ASSERT_TRUE(catalog.Refresh().ok());
  std::vector<size_t> seen;
  catalog.SetListener([&](const CatalogSnapshotPtr& snapshot) { seen.push_back(snapshot->by_id.size()); });
  ASSERT_TRUE(catalog.Refresh().ok());
  ASSERT_TRUE(store_->collections().Delete("t", "docs").ok());
  ASSERT_TRUE(catalog.Refresh().ok());
  EXPECT_THAT(seen, ::testing::ElementsAre(1, 0));
  EXPECT_EQ(catalog.Current()->dropping.size(), 1u);
  EXPECT_TRUE(absl::IsNotFound(catalog.Find("t", "docs").status()));
}

TEST_F(CatalogTest, TellsARecreatedCollectionFromItsPredecessor) {
  Catalog catalog(&store_->collections());
  ASSERT_TRUE(store_->collections().Create("t", "docs", Settings(3), 1).ok());
  const CatalogEntryPtr first = catalog.Find("t", "docs").value();
  ASSERT_TRUE(store_->collections().Delete("t", "docs").ok());
  ASSERT_TRUE(store_->collections().Create("t", "docs", Settings(4), 1).ok());
  ASSERT_TRUE(catalog.Refresh().ok());
  EXPECT_NE(catalog.Find("t", "docs").value()->id, first->id);
}

TEST_F(CatalogTest, SettingsOfANewerBuildMakeOnlyThatCollectionUnusable) {
  Catalog catalog(&store_->collections());
  ASSERT_TRUE(store_->collections().Create("t", "strange", "what is this", 1).ok());
  ASSERT_TRUE(store_->collections().Create("t", "good", Settings(3), 1).ok());
  EXPECT_EQ(catalog.Find("t", "strange").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(catalog.Find("t", "good").ok());
}

}  // namespace
}  // namespace alcove::vector_search
