#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libs/ann/graph.h"
#include "libs/ann/hnsw_index.h"
#include "libs/ann/index.h"
#include "libs/ann/test_data.h"

namespace alcove::ann {
namespace {

constexpr size_t kDim = 48;
constexpr size_t kCount = 2000;

struct Config {
  Metric metric;
  Storage codes, vectors;
  double recall;
};

std::string Name(const testing::TestParamInfo<Config>& info) {
  const char* metrics[] = {"", "Cosine", "Dot", "L2"};
  const char* storages[] = {"None", "F32", "F16", "Int8", "Int4", "Int6", "Bit1"};
  return std::string(metrics[static_cast<int>(info.param.metric)]) + "Codes" +
         storages[static_cast<int>(info.param.codes)] + "Vectors" + storages[static_cast<int>(info.param.vectors)];
}

class HnswOf : public testing::TestWithParam<Config> {
 protected:
  void SetUp() override {
    auto made = MakeHnswIndex({.dim = kDim,
                               .metric = GetParam().metric,
                               .m = 12,
                               .ef_construction = 80,
                               .codes = GetParam().codes,
                               .vectors = GetParam().vectors,
                               .max_threads = 2,
                               .max_rows = 1 << 20});
    ASSERT_TRUE(made.ok()) << made.status();
    index_ = *std::move(made);
    oracle_ = *MakeFlatIndex({.dim = kDim, .metric = GetParam().metric});
  }
  void Fill(size_t count, uint32_t seed = 1) {
    data_ = Clustered(count, kDim, seed);
    ASSERT_TRUE(index_->AddBatch(Sequence(count), data_).ok());
    ASSERT_TRUE(oracle_->AddBatch(Sequence(count), data_).ok());
  }
  std::unique_ptr<VectorIndex> index_, oracle_;
  std::vector<float> data_;
};

TEST_P(HnswOf, FindsWhatTheFlatIndexFinds) {
  Fill(kCount);
  EXPECT_EQ(index_->size(), kCount);
  const auto queries = Clustered(100, kDim, 7);
  EXPECT_GE(Recall(*index_, *oracle_, queries, {.k = 10, .ef = 120, .rerank = 60}), GetParam().recall);
}

TEST_P(HnswOf, ScoresNearlyAsTheFlatIndexDoes) {
  Fill(600);
  const auto query = Clustered(1, kDim, 8);
  const auto got = index_->Search(query, {.k = 5, .ef = 100});
  ASSERT_TRUE(got.ok());
  std::vector<RowId> rows;
  for (const Neighbor& n : *got) rows.push_back(n.row);
  const auto want = oracle_->Score(query, rows);
  ASSERT_TRUE(want.ok());
  for (size_t i = 0; i < rows.size(); ++i) {
    const float size = GetParam().metric == Metric::kCosine ? 1 : 50;
    const double error = GetParam().vectors == Storage::kNone                                           ? 0.12
                         : GetParam().vectors == Storage::kInt8 || GetParam().vectors == Storage::kInt6 ? 0.02
                                                                                                        : 0.01;
    EXPECT_NEAR((*got)[i].score, (*want)[i].score, error * size);
  }
  const auto scored = index_->Score(query, rows);
  ASSERT_TRUE(scored.ok());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR((*scored)[i].score, (*got)[i].score, 1e-3);
}

TEST_P(HnswOf, GivesVectorsBack) {
  Fill(300);
  for (size_t i = 0; i < 300; i += 37) {
    const auto got = index_->Get(static_cast<RowId>(i));
    ASSERT_TRUE(got.ok());
    const auto want = Nth(data_, i, kDim);
    if (GetParam().vectors == Storage::kF32) {
      EXPECT_TRUE(std::equal(want.begin(), want.end(), got->begin()));
      continue;
    }
    double error = 0, size = 0;
    for (size_t d = 0; d < kDim; ++d) {
      error += ((*got)[d] - want[d]) * ((*got)[d] - want[d]);
      size += want[d] * want[d];
    }
    const double relative = GetParam().vectors == Storage::kF16                                          ? 0.001
                            : GetParam().vectors == Storage::kInt6                                       ? 0.07
                            : GetParam().vectors == Storage::kInt8 || GetParam().codes == Storage::kInt8 ? 0.03
                                                                                                         : 0.2;
    EXPECT_LT(std::sqrt(error / size), relative);
  }
}

TEST_P(HnswOf, KeepsItsRecallThroughChurn) {
  Fill(kCount);
  const auto fresh_data = Clustered(kCount, kDim, 55);
  // Half the rows leave, a quarter come back with other vectors, a quarter are updated in place.
  for (RowId row = 0; row < kCount; ++row) {
    if (row % 4 == 0 || row % 4 == 1) {
      ASSERT_TRUE(index_->Remove(row).ok());
    }
    if (row % 4 == 1) {
      ASSERT_TRUE(index_->Add(row, Nth(fresh_data, row, kDim)).ok());
    }
    if (row % 4 == 2) {
      ASSERT_TRUE(index_->Update(row, Nth(fresh_data, row, kDim)).ok());
    }
  }
  const auto before = std::move(index_);
  SetUp();
  for (RowId row = 0; row < kCount; ++row) {
    const auto vector = before->Get(row);
    EXPECT_EQ(vector.ok(), row % 4 != 0);
    if (!vector.ok()) continue;
    ASSERT_TRUE(index_->Add(row, *vector).ok());
    ASSERT_TRUE(oracle_->Add(row, *vector).ok());
  }
  EXPECT_EQ(before->size(), index_->size());
  const auto queries = Clustered(200, kDim, 7);
  const SearchParams params{.k = 10, .ef = 100, .rerank = 60};
  const double fresh = Recall(*index_, *oracle_, queries, params);
  // Links are chosen as if shorter paths existed, which inner products do not promise.
  const double lost = GetParam().metric == Metric::kDot ? 0.02 : 0.01;
  EXPECT_GE(Recall(*before, *oracle_, queries, params), fresh - lost);
  ASSERT_TRUE(before->Optimize().ok());
  EXPECT_EQ(before->size(), oracle_->size());
  EXPECT_GE(Recall(*before, *oracle_, queries, params), fresh - lost);
  ASSERT_TRUE(before->Add(4, Nth(fresh_data, 4, kDim)).ok());
  if (GetParam().metric == Metric::kDot) return;
  EXPECT_EQ(before->Search(Nth(fresh_data, 4, kDim), {.k = 1})->front().row, 4u);
}

TEST_P(HnswOf, SurvivesASnapshotWithTombstones) {
  Fill(800);
  for (RowId row = 0; row < 90; ++row) ASSERT_TRUE(index_->Remove(row).ok());
  StringSink sink;
  ASSERT_TRUE(index_->SaveTo(sink).ok());
  StringSource source(sink.data);
  auto loaded = LoadIndex(source);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->size(), index_->size());
  const auto queries = Clustered(20, kDim, 7);
  for (size_t i = 0; i < 20; ++i) {
    const SearchParams params{.k = 10, .ef = 50};
    EXPECT_EQ(*(*loaded)->Search(Nth(queries, i, kDim), params), *index_->Search(Nth(queries, i, kDim), params));
  }
  for (RowId row = 0; row < 90; ++row) ASSERT_TRUE((*loaded)->Add(row, Nth(data_, row, kDim)).ok());
  EXPECT_EQ((*loaded)->size(), 800u);
}

INSTANTIATE_TEST_SUITE_P(All, HnswOf,
                         testing::Values(Config{Metric::kCosine, Storage::kNone, Storage::kF32, 0.98},
                                         Config{Metric::kCosine, Storage::kInt8, Storage::kF32, 0.98},
                                         Config{Metric::kCosine, Storage::kInt4, Storage::kF16, 0.98},
                                         Config{Metric::kCosine, Storage::kInt4, Storage::kInt8, 0.95},
                                         Config{Metric::kCosine, Storage::kInt4, Storage::kInt6, 0.85},
                                         Config{Metric::kCosine, Storage::kBit1, Storage::kF16, 0.90},
                                         Config{Metric::kDot, Storage::kBit1, Storage::kF32, 0.85},
                                         Config{Metric::kL2, Storage::kInt4, Storage::kInt8, 0.90},
                                         Config{Metric::kCosine, Storage::kInt8, Storage::kNone, 0.93},
                                         Config{Metric::kDot, Storage::kInt8, Storage::kF32, 0.95},
                                         Config{Metric::kL2, Storage::kNone, Storage::kF16, 0.98},
                                         Config{Metric::kL2, Storage::kInt8, Storage::kF32, 0.98},
                                         Config{Metric::kL2, Storage::kInt4, Storage::kF16, 0.97}),
                         Name);

TEST(Hnsw, ChangesToWideLinksWhenItOutgrowsNarrowOnes) {
  const HnswOptions options{.dim = kDim, .m = 8, .ef_construction = 48, .max_rows = 1 << 16};
  auto made = HnswIndex::Make(options, /*wide=*/false, /*narrow_nodes=*/700);
  ASSERT_TRUE(made.ok());
  VectorIndex& index = **made;
  const auto data = Clustered(1100, kDim, 1);
  auto oracle = *MakeFlatIndex({.dim = kDim});
  ASSERT_TRUE(oracle->AddBatch(Sequence(1100), data).ok());
  ASSERT_TRUE(index.AddBatch(Sequence(600), absl::MakeConstSpan(data).first(600 * kDim), 2).ok());
  for (RowId row = 0; row < 20; ++row) ASSERT_TRUE(index.Remove(row).ok());
  for (RowId row = 0; row < 20; ++row) ASSERT_TRUE(index.Add(row, Nth(data, row, kDim)).ok());
  // In the middle of a batch on two threads.
  ASSERT_TRUE(index.AddBatch(Sequence(400, 600), absl::MakeConstSpan(data).subspan(600 * kDim, 400 * kDim), 2).ok());
  for (RowId row = 1000; row < 1100; ++row) ASSERT_TRUE(index.Add(row, Nth(data, row, kDim)).ok());
  EXPECT_EQ(index.size(), 1100u);
  EXPECT_GE(Recall(index, *oracle, Clustered(50, kDim, 7), {.k = 10, .ef = 80}), 0.95);
  for (RowId row = 0; row < 1100; row += 31) {
    EXPECT_EQ(index.Search(Nth(data, row, kDim), {.k = 1, .ef = 40})->front().row, row);
  }
}

// Cuts every link to some nodes, of which some lead to each other.
TEST(Hnsw, ReconnectMakesAWayToEveryNode) {
  constexpr size_t kNodes = 600, kSmall = 16;
  for (const size_t m : {4, 16}) {
    auto graph = *Graph::Make({.dim = kSmall, .m = m, .ef_construction = 40, .max_rows = kNodes}, /*wide=*/false);
    const auto data = Clustered(kNodes, kSmall, 5);
    ASSERT_TRUE(graph->store().Grow(kNodes).ok());
    ASSERT_TRUE(graph->links().Grow(kNodes).ok());
    std::vector<RowId> rows(kNodes);
    std::iota(rows.begin(), rows.end(), RowId{0});
    ASSERT_TRUE(graph->rows().Restore(rows, std::vector<uint8_t>(kNodes, LinkStore::kAlive)).ok());
    Scratch scratch;
    for (NodeId node = 0; node < kNodes; ++node) {
      graph->store().Write(node, data.data() + node * kSmall, scratch.query);
      ASSERT_TRUE(graph->links().Init(node, graph->DrawLevel(node)).ok());
      graph->store().Prepare(data.data() + node * kSmall, scratch.query);
      graph->Insert(node, scratch);
    }
    const auto cut = [&](NodeId node) { return node != graph->entry().node && node % 10 < 3; };
    NodeId links[NodeStore::kBatch];
    size_t expected = 0;
    for (NodeId node = 0; node < kNodes; ++node) {
      expected += cut(node) ? 1 : 0;
      for (int level = graph->links().level(node); level >= 0; --level) {
        size_t count = graph->links().Read(node, level, links), kept = 0;
        for (size_t i = 0; i < count; ++i) {
          if (!cut(links[i]) || (level == 0 && cut(node) && links[i] == node + 1)) links[kept++] = links[i];
        }
        graph->links().Write(node, level, {links, kept});
      }
    }
    const size_t attached = graph->Reconnect(scratch);
    EXPECT_GT(attached, expected / 2);
    EXPECT_LE(attached, expected);
    EXPECT_EQ(graph->Reconnect(scratch), 0u);
    size_t missed = 0;
    for (NodeId node = 0; node < kNodes; ++node) {
      graph->store().Prepare(data.data() + node * kSmall, scratch.query);
      ASSERT_TRUE(graph->SearchLayer(scratch, graph->entry(), 0, kNodes, nullptr));
      missed += scratch.pool.size() != kNodes ? 1 : 0;
    }
    EXPECT_EQ(missed, 0u);
  }
}

// A tree whose every list is full, so that each link in it is the only way to a node: none may be lost for those that
// the tree does not hold and whose nearest is inside of it.
TEST(Hnsw, ReconnectLosesNoWayWhereListsAreFull) {
  constexpr size_t kM = 4, kDegree = 2 * kM, kSmall = 16, kInner = 1 + kDegree + kDegree * kDegree;
  constexpr size_t kTree = kDegree * kInner + 1, kNodes = kTree + kDegree;
  auto graph = *Graph::Make({.dim = kSmall, .m = kM, .ef_construction = 40, .max_rows = kNodes}, /*wide=*/false);
  auto data = Clustered(kNodes, kSmall, 6);
  for (size_t i = 0; i < kDegree; ++i)
    std::copy_n(data.data() + i * kSmall, kSmall, data.data() + (kTree + i) * kSmall);
  ASSERT_TRUE(graph->store().Grow(kNodes).ok());
  ASSERT_TRUE(graph->links().Grow(kNodes).ok());
  std::vector<RowId> rows(kNodes);
  std::iota(rows.begin(), rows.end(), RowId{0});
  ASSERT_TRUE(graph->rows().Restore(rows, std::vector<uint8_t>(kNodes, LinkStore::kAlive)).ok());
  Scratch scratch;
  for (NodeId node = 0; node < kNodes; ++node) {
    graph->store().Write(node, data.data() + node * kSmall, scratch.query);
    ASSERT_TRUE(graph->links().Init(node, 0).ok());
    std::vector<NodeId> links(kDegree);
    std::iota(links.begin(), links.end(), node < kInner ? NodeId{kDegree} * node + 1 : NodeId{0});
    graph->links().Write(node, 0, links);
  }
  graph->set_entry({0, 0});
  EXPECT_EQ(graph->Reconnect(scratch), kNodes - kTree);
  EXPECT_EQ(graph->Reconnect(scratch), 0u);
}

TEST(Hnsw, BuildsTheSameGraphTwiceWhenDeterministic) {
  const auto data = Clustered(1500, kDim, 1);
  std::string snapshots[2];
  for (std::string& snapshot : snapshots) {
    auto index = *MakeHnswIndex({.dim = kDim, .m = 8, .ef_construction = 48, .deterministic = true, .max_rows = 4096});
    ASSERT_TRUE(index->AddBatch(Sequence(1500), data, 2).ok());
    for (RowId row = 0; row < 300; ++row) ASSERT_TRUE(index->Remove(row).ok());
    ASSERT_TRUE(index->Optimize().ok());
    StringSink sink;
    ASSERT_TRUE(index->SaveTo(sink).ok());
    snapshot = sink.data;
  }
  EXPECT_EQ(snapshots[0], snapshots[1]);
}

TEST(Hnsw, AnswersABatchAsOneByOne) {
  auto index = *MakeHnswIndex({.dim = kDim, .codes = Storage::kInt4, .vectors = Storage::kF16, .max_rows = 4096});
  ASSERT_TRUE(index->AddBatch(Sequence(2000), Clustered(2000, kDim, 1), 1).ok());
  const auto queries = Clustered(37, kDim, 7);
  const SearchParams params{.k = 10, .ef = 40};
  const auto batch = index->SearchBatch(queries, params);
  ASSERT_TRUE(batch.ok());
  for (size_t i = 0; i < 37; ++i) EXPECT_EQ((*batch)[i], *index->Search(Nth(queries, i, kDim), params)) << i;
}

}  // namespace
}  // namespace alcove::ann
