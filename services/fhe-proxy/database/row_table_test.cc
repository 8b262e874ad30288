#include "services/fhe-proxy/database/row_table.h"

#include <cmath>
#include <map>
#include <random>
#include <set>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/fhe-proxy/database/snapshot.h"
#include "services/fhe-proxy/record/record.h"

namespace alcove::fhe_proxy {
namespace {

RowTable Table(uint32_t dimension, double scale) {
  return RowTable::Create(OfferedSets()[0], dimension, {scale, "seed"}).value();
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
      EXPECT_TRUE(RowTable::Create(set, dimension, {1, "seed"}).ok()) << set.name << " " << dimension;
    }
  }
  RowTable table = Table(20, 1);
  EXPECT_EQ(table.Put("long", std::vector<float>(20, 127)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(table.size(), 0u);
}

// Vectors around four corners.
std::vector<float> Around(std::mt19937& rng, uint32_t corner) {
  std::normal_distribution<float> noise(0, 0.05f);
  std::vector<float> v(8);
  for (float& x : v) x = noise(rng);
  v[corner] += 1;
  return v;
}

TEST(ClustersTest, FindTheCornersAndTheirNeighbours) {
  TaskPool pool(1);
  std::mt19937 rng(3);
  std::vector<std::vector<int8_t>> rows(400, std::vector<int8_t>(8));
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(QuantiseRow(Around(rng, i % 4), 100, absl::MakeSpan(rows[i])).ok());
  }
  const auto row = [&](size_t i) { return absl::MakeConstSpan(rows[i]); };
  const auto clusters = Clusters::Train(5, 128, rows.size(), 8, row, pool);
  ASSERT_EQ(clusters->size(), 5u);
  std::set<size_t> of[4];
  for (size_t i = 0; i < rows.size(); ++i) of[i % 4].insert(clusters->Home(rows[i]));
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < a; ++b) {
      for (const size_t c : of[a]) EXPECT_FALSE(of[b].contains(c)) << "two corners in one cluster";
    }
  }
  const auto again = Clusters::Train(5, 128, rows.size(), 8, row, pool);
  for (size_t c = 0; c < 5; ++c) {
    EXPECT_EQ(clusters->centroid(c), again->centroid(c));
    const auto near = clusters->Neighbours(c, 3);
    ASSERT_EQ(near.size(), 3u);
    EXPECT_EQ(near[0], c);
    EXPECT_EQ(clusters->Neighbours(c, 9).size(), 5u);
  }
}

TEST(ClustersTest, WeightsFillBlocksAndLeaveCentroidsAlone) {
  TaskPool pool(1);
  std::mt19937 rng(5);
  std::normal_distribution<float> normal;
  std::vector<std::vector<int8_t>> rows(3000, std::vector<int8_t>(8));
  for (auto& row : rows) {
    std::vector<float> v(8);
    // Dense in the middle, thin at the edges, so that clusters differ in size.
    const float wide = std::exp(normal(rng) / 2);
    for (float& x : v) x = std::clamp(wide * normal(rng) / 8, -1.2f, 1.2f);
    ASSERT_TRUE(QuantiseRow(v, 100, absl::MakeSpan(row)).ok());
  }
  const auto row = [&](size_t i) { return absl::MakeConstSpan(rows[i]); };
  const auto blocks = [&](const Clusters& clusters, size_t count, size_t per_block) {
    std::vector<size_t> held(clusters.size());
    for (size_t i = 0; i < count; ++i) ++held[clusters.Home(rows[i])];
    size_t out = 0;
    for (const size_t h : held) out += std::max<size_t>(1, (h + per_block - 1) / per_block);
    return out;
  };
  const auto made = Clusters::Train(12, 128, 1300, 8, row, pool);
  EXPECT_LE(blocks(*made, 1300, 128), 12u) << "1,300 rows are nine tenths of twelve blocks";
  EXPECT_GE(blocks(*made, 3000, 128), 28u) << "as rows come, clusters overflow";
  const auto again = made->Refit(128, 3000, row, pool);
  EXPECT_LE(blocks(*again, 3000, 128), 27u) << "3,000 rows are nine tenths of 26 blocks";
  for (size_t c = 0; c < 12; ++c) EXPECT_EQ(made->centroid(c), again->centroid(c));
}

TEST(ClustersTest, RowsThatAreAlikeStayTogether) {
  TaskPool pool(1);
  const std::vector<int8_t> one(8, 50);
  const auto row = [&](size_t) { return absl::MakeConstSpan(one); };
  const auto clusters = Clusters::Train(3, 64, 400, 8, row, pool);
  EXPECT_LT(clusters->Home(one), 3u);
}

TEST(RowTableTest, ClustersHoldEveryRowOnceInBlocksOfTheirOwn) {
  TaskPool pool(1);
  std::mt19937 rng(9);
  RowTable table = RowTable::Create(OfferedSets()[0], 8, {100, "seed", 700}).value();
  std::map<std::string, std::vector<float>> model;
  size_t cuts = 0;
  const Clusters* last = nullptr;
  size_t clustered_rows = 0;
  for (int step = 0; step < 30'000; ++step) {
    const std::string id = absl::StrCat("p", rng() % 6000);
    // Grows, shrinks until it is cut no longer, grows again.
    const bool shrink = step > 12'000 && step < 24'000;
    if (rng() % 10 < (shrink ? 9 : 2)) {
      table.Remove(id);
      model.erase(id);
    } else {
      const auto v = Around(rng, rng() % 4);
      ASSERT_TRUE(table.Put(id, v).ok());
      model[id] = v;
    }
    ASSERT_EQ(table.size(), model.size());
    if (step % 1500 != 0) continue;
    const auto snapshot = table.Commit(pool);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    ASSERT_TRUE(table.size() < 2800 || table.clusters() != nullptr) << table.size();
    ASSERT_TRUE(table.size() >= 1400 || table.clusters() == nullptr) << table.size();
    const bool recut = table.clusters() != nullptr && !(last != nullptr && table.clustered_rows() == clustered_rows);
    cuts += recut;
    last = table.clusters().get();
    clustered_rows = table.clustered_rows();
    ASSERT_GE(table.WantedBytes().value(), (*snapshot)->MemoryBytes());
    size_t found = 0;
    for (size_t row = 0; row < table.slots(); ++row) {
      std::vector<int8_t> want(8);
      if (table.occupied(row)) {
        ASSERT_TRUE(QuantiseRow(model.at(table.id(row)), 100, absl::MakeSpan(want)).ok());
        ++found;
      }
      ASSERT_EQ(table.values(row), absl::MakeConstSpan(want));
    }
    ASSERT_EQ(found, model.size()) << "ids are unique, so each is there once";
    if (last == nullptr) {
      ASSERT_EQ(table.slots(), table.size());
      continue;
    }
    const size_t per_block = (*snapshot)->layout.rows_per_block();
    std::set<uint32_t> seen;
    for (size_t c = 0; c < last->size(); ++c) {
      for (const uint32_t block : table.blocks(c)) {
        ASSERT_TRUE(seen.insert(block).second) << "a block of two clusters";
        bool empty = false;
        for (size_t row = block * per_block; row < (block + 1) * per_block && row < table.slots(); ++row) {
          ASSERT_FALSE(empty && table.occupied(row)) << "a hole";
          empty = !table.occupied(row);
          ASSERT_TRUE(empty || last->Home(table.values(row)) == c) << "a row of another cluster";
        }
      }
    }
  }
  EXPECT_GE(cuts, 2u);
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
  const RowSnapshot written{"key", {"id#1", 2, Metric::kDot, 3, {5, 9}}, {0, 3}, 50, {{"one", one}, {"two", two}}, {}};
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

TEST_F(SnapshotTest, ClustersComeBack) {
  RowSnapshot cut = written;
  cut.clusters = Clusters::From(2, {1, 2, 3, 4.5f, -5, 6}, {0, 7, -0.5f});
  cut.cluster_rows = 100;
  cut.clustered_rows = 400;
  const std::string file = EncodeRowSnapshot(cut);
  const auto read = DecodeRowSnapshot(file);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_NE(read->clusters, nullptr);
  ASSERT_EQ(read->clusters->size(), 3u);
  EXPECT_THAT(read->clusters->centroid(1), ::testing::ElementsAre(3, 4.5f));
  EXPECT_EQ(read->clusters->weight(2), -0.5f);
  EXPECT_EQ(read->cluster_rows, 100u);
  EXPECT_EQ(read->clustered_rows, 400u);
  EXPECT_EQ(read->rows[1].id, "two");
  cut.clusters = Clusters::From(2, {1, NAN}, {0});
  EXPECT_EQ(DecodeRowSnapshot(EncodeRowSnapshot(cut)).status().code(), absl::StatusCode::kDataLoss);
  cut.clusters = nullptr;
  EXPECT_EQ(DecodeRowSnapshot(EncodeRowSnapshot(cut)).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotTest, AFileWrittenBeforeThereWereClustersIsRead) {
  // The cut of version 2 is what version 1 lacks: 16 zero bytes between the scale and the number of rows.
  std::string older = bytes.substr(0, bytes.size() - 64);
  const size_t rows = older.size() - 2 * (4 + 3 + 2) - 8;
  older.erase(rows - 16, 16);
  older.replace(0, 8, "ALCPSR1\n");
  SealRecord(older);
  const auto read = DecodeRowSnapshot(older);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->scale, 50);
  EXPECT_EQ(read->clusters, nullptr);
  EXPECT_EQ(read->rows[1].id, "two");
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
