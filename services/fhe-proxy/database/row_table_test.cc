#include "services/fhe-proxy/database/row_table.h"

#include <cmath>
#include <map>
#include <random>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/fhe-proxy/database/snapshot.h"

namespace alcove::fhe_proxy {
namespace {

RowTable Table(uint32_t dimension, double scale) {
  return RowTable::Create(OfferedSets()[0], dimension, scale, "seed").value();
}

TEST(RowTableTest, HoldsExactlyTheLastStateOfEachPoint) {
  std::mt19937 rng(7);
  RowTable table = Table(3, 100);
  std::map<std::string, std::vector<float>> model;
  for (int step = 0; step < 5000; ++step) {
    const std::string id = absl::StrCat("p", rng() % 60);
    if (rng() % 3 == 0) {
      table.Remove(id);
      model.erase(id);
    } else {
      const std::vector<float> v = {static_cast<float>(rng() % 200) / 200, -0.5f, static_cast<float>(rng() % 7) / 10};
      ASSERT_TRUE(table.Put(id, v).ok());
      model[id] = v;
    }
    ASSERT_EQ(table.size(), model.size());
  }
  for (size_t r = 0; r < table.size(); ++r) {
    const auto& want = model.at(table.id(r));
    for (size_t d = 0; d < 3; ++d) {
      EXPECT_EQ(table.values(r)[d], std::lround(static_cast<double>(want[d]) * 100));
    }
  }
}

TEST(RowTableTest, CommitsTheRowsThereAre) {
  TaskPool pool(1);
  RowTable table = Table(1, 1);
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(table.Put(id, std::vector<float>{1}).ok());
  const auto first = table.Commit(pool);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->rows, 4u);
  EXPECT_EQ(table.Commit(pool).value()->blocks, (*first)->blocks) << "nothing changed";
  table.Remove("b");  // d moves into its place
  EXPECT_EQ(table.id(1), "d");
  table.Remove("nobody");
  const auto second = table.Commit(pool).value();
  EXPECT_EQ(second->rows, 3u);
  EXPECT_NE(second->blocks, (*first)->blocks);
  EXPECT_GT(table.MemoryBytes(), table.RowBytes());
}

TEST(RowTableTest, NoSetCanDecryptARowItTakesWrongly) {
  for (const ParameterSet& set : OfferedSets()) {
    for (const uint32_t dimension : {1u, 384u, 512u, 2048u}) {
      EXPECT_TRUE(RowTable::Create(set, dimension, 1, "seed").ok()) << set.name << " " << dimension;
    }
  }
  RowTable table = Table(20, 1);
  EXPECT_EQ(table.Put("long", std::vector<float>(20, 127)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(table.size(), 0u);
}

TEST(RowTableTest, AVectorThatDoesNotFitChangesNothing) {
  RowTable table = Table(2, 127);
  ASSERT_TRUE(table.Put("a", std::vector<float>{1, 0}).ok());
  EXPECT_EQ(table.Put("a", std::vector<float>{1.1f, 0}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(table.Put("b", std::vector<float>{0, -1.1f}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(table.Put("b", std::vector<float>{0, NAN}).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.values(0)[0], 127);
}

TEST(CollectionInfoTest, ATokenNamesWhatWasWrittenAndThePlacementItWasWrittenTo) {
  EXPECT_EQ((CollectionInfo{"id", 2, Metric::kDot, 1, {0, 0}}).SequenceToken(), "");
  EXPECT_EQ((CollectionInfo{"id", 2, Metric::kDot, 1, {5, 0, 9}}).SequenceToken(), "0:5,2:9");
  EXPECT_EQ((CollectionInfo{"id", 2, Metric::kDot, 3, {5, 0, 9}}).SequenceToken(), "e3;0:5,2:9");
  EXPECT_EQ((CollectionInfo{"id", 2, Metric::kDot, 3, {0}}).SequenceToken(), "");
}

class SnapshotTest : public ::testing::Test {
 protected:
  const std::vector<int8_t> one = {50, -50}, two = {25, 100};
  const RowSnapshot written{"key", {"id#1", 2, Metric::kDot, 3, {5, 9}}, {0, 3}, 50, {{"one", one}, {"two", two}}};
  const std::string bytes = EncodeRowSnapshot(written);
};

TEST_F(SnapshotTest, ComesBackWhole) {
  const auto read = DecodeRowSnapshot(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->key, "key");
  EXPECT_EQ(read->info, (CollectionInfo{"id#1", 2, Metric::kDot, 3, {5, 9}}));
  EXPECT_EQ(read->floors, (std::vector<int64_t>{0, 3}));
  ASSERT_EQ(read->rows.size(), 2u);
  EXPECT_EQ(read->scale, 50);
  EXPECT_EQ(read->rows[1].id, "two");
  EXPECT_THAT(read->rows[1].numbers, ::testing::ElementsAre(25, 100));
}

TEST_F(SnapshotTest, AnIdIsThereOnce) {
  RowSnapshot twice = written;
  twice.rows[1].id = "one";
  EXPECT_EQ(DecodeRowSnapshot(EncodeRowSnapshot(twice)).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotTest, AnyChangedByteIsNoticed) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_EQ(DecodeRowSnapshot(damaged).status().code(), absl::StatusCode::kDataLoss) << at;
    EXPECT_FALSE(DecodeRowSnapshot(absl::string_view(bytes).substr(0, at)).ok());
  }
}

}  // namespace
}  // namespace alcove::fhe_proxy
