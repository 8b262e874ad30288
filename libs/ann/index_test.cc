// The contract of index.h, kept by every index.
#include "libs/ann/index.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "libs/ann/test_data.h"

namespace alcove::ann {
namespace {

using testing::HasSubstr;

constexpr size_t kDim = 24;

struct Maker {
  std::string name;
  std::function<std::unique_ptr<VectorIndex>(Metric)> make;
};

class EachIndex : public testing::TestWithParam<Maker> {
 protected:
  std::unique_ptr<VectorIndex> Make(Metric metric = Metric::kCosine) { return GetParam().make(metric); }
};

class OddRows final : public RowFilter {
 public:
  OddRows(bool enumerates, double estimate) : enumerates_(enumerates), estimate_(estimate) {}
  bool Matches(RowId row) const override { return row % 2 == 1; }
  double EstimatedCount() const override { return estimate_; }
  bool ForEachMatch(absl::FunctionRef<bool(RowId)> visit) const override {
    if (!enumerates_) return false;
    for (RowId row = 1; row < 10000; row += 2) {
      if (!visit(row)) break;
    }
    return true;
  }

 private:
  bool enumerates_;
  double estimate_;
};

class EveryNth final : public RowFilter {
 public:
  explicit EveryNth(RowId n) : n_(n) {}
  bool Matches(RowId row) const override { return row % n_ == 0; }

 private:
  RowId n_;
};

class StopNow final : public StopCheck {
 public:
  bool ShouldStop() const override { return true; }
};

TEST_P(EachIndex, RefusesWhatItCannotHoldAndNamesTheRow) {
  auto index = Make();
  std::vector<float> v(kDim, 1.0f);
  EXPECT_THAT(std::string(index->Add(7, absl::MakeConstSpan(v).first(3)).message()), HasSubstr("row 7"));
  v[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(absl::IsInvalidArgument(index->Add(7, v)));
  EXPECT_THAT(std::string(index->Add(7, v).message()), HasSubstr("position 5"));
  v[5] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(absl::IsInvalidArgument(index->Add(7, v)));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Add(7, std::vector<float>(kDim, 0.0f))));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Add(7, std::vector<float>(kDim, 1e19f))));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Add(kMaxRow + 1, std::vector<float>(kDim, 1.0f))));
  EXPECT_EQ(index->size(), 0u);
}

TEST_P(EachIndex, RefusesBadSearches) {
  auto index = Make();
  const std::vector<float> v(kDim, 1.0f);
  ASSERT_TRUE(index->Add(0, v).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(v, {.k = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(v, {.k = kMaxK + 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(v, {.k = 1, .ef = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(v, {.k = 1, .ef = kMaxEf + 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(absl::MakeConstSpan(v).first(2), {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->Search(std::vector<float>(kDim, 0.0f), {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index->SearchBatch(std::vector<float>(kDim + 1, 1.0f), {}).status()));
}

TEST_P(EachIndex, TellsMissingAndDoubledRowsApart) {
  auto index = Make();
  const auto data = Clustered(2, kDim, 1);
  EXPECT_TRUE(absl::IsNotFound(index->Update(3, Nth(data, 0, kDim))));
  EXPECT_TRUE(absl::IsNotFound(index->Remove(3)));
  EXPECT_TRUE(absl::IsNotFound(index->Get(3).status()));
  ASSERT_TRUE(index->Add(3, Nth(data, 0, kDim)).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(index->Add(3, Nth(data, 1, kDim))));
  EXPECT_TRUE(index->Contains(3));
  EXPECT_FALSE(index->Contains(2));
  const std::vector<RowId> doubled = {8, 8};
  EXPECT_TRUE(absl::IsInvalidArgument(index->AddBatch(doubled, data)));
  EXPECT_EQ(index->size(), 1u);
}

TEST_P(EachIndex, FindsNothingWhenEmptyAndAllWhenSmall) {
  auto index = Make();
  const auto data = Clustered(5, kDim, 1);
  EXPECT_TRUE(index->Search(Nth(data, 0, kDim), {.k = 3})->empty());
  for (RowId row = 0; row < 5; ++row) ASSERT_TRUE(index->Add(row * 1000, Nth(data, row, kDim)).ok());
  const auto found = index->Search(Nth(data, 2, kDim), {.k = 50});
  EXPECT_EQ(found->size(), 5u);
  EXPECT_EQ(found->front().row, 2000u);
  EXPECT_NEAR(found->front().score, 1.0f, 0.01f);
  EXPECT_TRUE(std::is_sorted(found->begin(), found->end(),
                             [](const Neighbor& a, const Neighbor& b) { return a.score > b.score; }));
  for (RowId row = 0; row < 5; ++row) ASSERT_TRUE(index->Remove(row * 1000).ok());
  EXPECT_EQ(index->size(), 0u);
  EXPECT_TRUE(index->Search(Nth(data, 0, kDim), {.k = 3})->empty());
}

TEST_P(EachIndex, ScoresHigherForBetterInEveryMetric) {
  const std::vector<float> near(kDim, 1.0f), far(kDim, -1.0f), query(kDim, 0.5f);
  const float want[][2] = {{1, -1}, {0.5f * kDim, -0.5f * kDim}, {-0.25f * kDim, -2.25f * kDim}};
  for (Metric metric : {Metric::kCosine, Metric::kDot, Metric::kL2}) {
    auto index = Make(metric);
    ASSERT_TRUE(index->Add(0, far).ok());
    ASSERT_TRUE(index->Add(1, near).ok());
    const auto found = *index->Search(query, {.k = 2});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].row, 1u);
    EXPECT_NEAR(found[0].score, want[static_cast<int>(metric) - 1][0], 0.02 * kDim);
    EXPECT_NEAR(found[1].score, want[static_cast<int>(metric) - 1][1], 0.02 * kDim);
  }
}

TEST_P(EachIndex, ReturnsOnlyMatchingRowsAtEverySelectivity) {
  auto index = Make();
  auto oracle = *MakeFlatIndex({.dim = kDim});
  const auto data = Clustered(3000, kDim, 1, 150);
  ASSERT_TRUE(index->AddBatch(Sequence(3000), data).ok());
  ASSERT_TRUE(oracle->AddBatch(Sequence(3000), data).ok());
  const auto queries = Clustered(50, kDim, 4, 150);
  for (RowId n : {1, 2, 3, 10, 100, 1000, 100000}) {
    const EveryNth filter(n);
    const SearchParams params{.k = 10, .ef = 64, .rerank = 40, .filter = &filter};
    for (size_t i = 0; i < 10; ++i) {
      const auto found = index->Search(Nth(queries, i, kDim), params);
      for (const Neighbor& neighbor : *found) EXPECT_EQ(neighbor.row % n, 0u);
    }
    EXPECT_GE(Recall(*index, *oracle, queries, params), 0.95) << "one row in " << n;
  }
  for (const OddRows& filter : {OddRows(true, 1500), OddRows(false, 1500), OddRows(true, 3), OddRows(false, 1e9)}) {
    const SearchParams params{.k = 10, .ef = 64, .rerank = 40, .filter = &filter};
    EXPECT_GE(Recall(*index, *oracle, queries, params), 0.95);
  }
}

TEST_P(EachIndex, StopsWhenAsked) {
  auto index = Make();
  const auto data = Clustered(2000, kDim, 1);
  ASSERT_TRUE(index->AddBatch(Sequence(2000), data).ok());
  const StopNow stop;
  const OddRows filter(false, -1);
  EXPECT_TRUE(absl::IsCancelled(index->Search(Nth(data, 0, kDim), {.k = 10, .ef = 800, .stop = &stop}).status()));
  EXPECT_TRUE(absl::IsCancelled(index->Search(Nth(data, 0, kDim), {.exact = true, .stop = &stop}).status()));
  EXPECT_TRUE(
      absl::IsCancelled(index->Search(Nth(data, 0, kDim), {.ef = 800, .filter = &filter, .stop = &stop}).status()));
}

TEST_P(EachIndex, AnswersABatchAsItAnswersEachQuery) {
  auto index = Make();
  const auto data = Clustered(1000, kDim, 1), queries = Clustered(13, kDim, 2);
  ASSERT_TRUE(index->AddBatch(Sequence(1000), data).ok());
  const auto batch = index->SearchBatch(queries, {.k = 7, .ef = 40});
  ASSERT_EQ(batch->size(), 13u);
  for (size_t i = 0; i < 13; ++i) EXPECT_EQ((*batch)[i], *index->Search(Nth(queries, i, kDim), {.k = 7, .ef = 40}));
}

TEST_P(EachIndex, ScoresExactlyWhenAskedForExact) {
  auto index = Make();
  auto oracle = *MakeFlatIndex({.dim = kDim});
  const auto data = Clustered(1000, kDim, 1), queries = Clustered(20, kDim, 2);
  ASSERT_TRUE(index->AddBatch(Sequence(1000), data).ok());
  ASSERT_TRUE(oracle->AddBatch(Sequence(1000), data).ok());
  // Exact to the stored vectors: HnswInt4Int8 keeps only rounded ones.
  const double recall = GetParam().name == "HnswInt4Int8" ? 0.95 : 0.98;
  EXPECT_GE(Recall(*index, *oracle, queries, {.k = 10, .exact = true}), recall);
}

TEST_P(EachIndex, ReportsMemoryThatGrowsWithItsContent) {
  auto index = Make();
  const size_t before = index->MemoryUsage().total();
  const auto data = Clustered(4000, kDim, 1);
  ASSERT_TRUE(index->AddBatch(Sequence(4000), data).ok());
  const MemoryBreakdown after = index->MemoryUsage();
  EXPECT_GT(after.total(), before + 4000 * kDim * 2);
  EXPECT_GT(after.vectors, 0u);
  EXPECT_LT(after.total(), before + 4000 * (kDim * 8 + 400) + (1 << 20));
}

std::vector<Maker> Makers() {
  const auto hnsw = [](Storage codes, Storage vectors, const std::string& directory = "") {
    return [=](Metric metric) {
      return *MakeHnswIndex({.dim = kDim,
                             .metric = metric,
                             .m = 12,
                             .ef_construction = 64,
                             .codes = codes,
                             .vectors = vectors,
                             .max_threads = 1,
                             .max_rows = 1 << 20,
                             .vectors_directory = directory});
    };
  };
  return {{"Flat", [](Metric metric) { return *MakeFlatIndex({.dim = kDim, .metric = metric}); }},
          {"FlatF16",
           [](Metric metric) { return *MakeFlatIndex({.dim = kDim, .metric = metric, .vectors = Storage::kF16}); }},
          {"HnswF32", hnsw(Storage::kNone, Storage::kF32)},
          {"HnswInt8F32", hnsw(Storage::kInt8, Storage::kF32)},
          {"HnswInt4F16", hnsw(Storage::kInt4, Storage::kF16)},
          {"HnswInt4Int8", hnsw(Storage::kInt4, Storage::kInt8)},
          {"HnswInt4F16OnDisk", hnsw(Storage::kInt4, Storage::kF16, testing::TempDir())},
          {"FlatOnDisk", [](Metric metric) {
             return *MakeFlatIndex({.dim = kDim, .metric = metric, .vectors_directory = testing::TempDir()});
           }}};
}

INSTANTIATE_TEST_SUITE_P(All, EachIndex, testing::ValuesIn(Makers()),
                         [](const testing::TestParamInfo<Maker>& info) { return info.param.name; });

TEST(Hnsw, RefusesImpossibleOptions) {
  EXPECT_TRUE(absl::IsInvalidArgument(MakeHnswIndex({.dim = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeHnswIndex({.dim = kMaxDim + 1}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeHnswIndex({.dim = 8, .m = 2}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeHnswIndex({.dim = 8, .m = 16, .ef_construction = 8}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(MakeHnswIndex({.dim = 8, .codes = Storage::kNone, .vectors = Storage::kNone}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeFlatIndex({.dim = 8, .vectors = Storage::kInt8}).status()));
}

TEST(Hnsw, SaysWhenItIsFull) {
  auto index = *MakeHnswIndex({.dim = kDim, .max_rows = 10});
  const auto data = Clustered(11, kDim, 1);
  for (RowId row = 0; row < 10; ++row) ASSERT_TRUE(index->Add(row, Nth(data, row, kDim)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(index->Add(10, Nth(data, 10, kDim))));
  EXPECT_EQ(index->size(), 10u);
}

TEST(Hnsw, BuildsTheSameGraphTwiceWhenDeterministic) {
  const auto data = Clustered(1500, kDim, 1);
  std::string bytes[2];
  for (std::string& out : bytes) {
    auto index = *MakeHnswIndex({.dim = kDim, .max_threads = 2, .deterministic = true, .max_rows = 1 << 16});
    ASSERT_TRUE(index->AddBatch(Sequence(1500), data).ok());
    StringSink sink;
    ASSERT_TRUE(index->SaveTo(sink).ok());
    out = sink.data;
  }
  EXPECT_TRUE(bytes[0] == bytes[1]);
}

TEST(OnDisk, KeepsVectorsOutOfMemoryThroughLoadingAndOptimizing) {
  const auto data = Clustered(3000, kDim, 1);
  const HnswOptions in_memory{.dim = kDim, .max_rows = 1 << 16};
  HnswOptions on_disk = in_memory;
  on_disk.vectors_directory = testing::TempDir();
  auto oracle = *MakeHnswIndex(in_memory), index = *MakeHnswIndex(on_disk);
  for (auto* each : {&oracle, &index}) ASSERT_TRUE((*each)->AddBatch(Sequence(3000), data, 1).ok());
  const auto agrees = [&](const VectorIndex& other) {
    const MemoryBreakdown memory = other.MemoryUsage(), all = oracle->MemoryUsage();
    EXPECT_GE(memory.on_disk, 3000 * kDim * sizeof(float));
    EXPECT_LE(memory.vectors + 3000 * kDim * sizeof(float), all.vectors);
    EXPECT_EQ(all.on_disk, 0u);
    for (size_t i = 0; i < 3000; i += 97) {
      EXPECT_EQ(*other.Get(static_cast<RowId>(i)), *oracle->Get(static_cast<RowId>(i)));
      EXPECT_EQ(*other.Search(Nth(data, i, kDim), {.k = 5}), *oracle->Search(Nth(data, i, kDim), {.k = 5}));
    }
  };
  agrees(*index);
  StringSink sink;
  ASSERT_TRUE(index->SaveTo(sink).ok());
  StringSource source(sink.data);
  const auto loaded = LoadIndex(source, {.vectors_directory = testing::TempDir()});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  agrees(**loaded);
  ASSERT_TRUE((*loaded)->Optimize().ok());
  ASSERT_TRUE(oracle->Optimize().ok());
  agrees(**loaded);
}

TEST(OnDisk, SaysWhenThereIsNoSuchDirectoryOrTheDiskIsFull) {
  const std::string directory = testing::TempDir() + "/ann_index_test_missing";
  EXPECT_TRUE(absl::IsNotFound(MakeHnswIndex({.dim = kDim, .vectors_directory = directory}).status()));
  auto index = *MakeHnswIndex({.dim = kDim, .vectors_directory = testing::TempDir()});
  const auto data = Clustered(2000, kDim, 1);
  ASSERT_TRUE(index->Add(0, Nth(data, 0, kDim)).ok());
  // Files of this process may not become larger than the first step.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit full{.rlim_cur = 64 << 10, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  absl::Status status;
  RowId row = 1;
  for (; row < 2000 && status.ok(); ++row) status = index->Add(row, Nth(data, row, kDim));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("disk"));
  // What was there still is, and there is room again.
  EXPECT_EQ(index->size(), row - 1);
  EXPECT_EQ(*index->Get(0), std::vector<float>(data.begin(), data.begin() + kDim));
  EXPECT_TRUE(index->Add(row, Nth(data, row, kDim)).ok());
}

TEST(Hnsw, ReusesTheMemoryOfRemovedRows) {
  auto index = *MakeHnswIndex({.dim = kDim, .max_rows = 1 << 16});
  const auto data = Clustered(500, kDim, 1);
  ASSERT_TRUE(index->AddBatch(Sequence(500), data, 1).ok());
  for (int round = 0; round < 6; ++round) {
    for (RowId row = 0; row < 500; ++row) ASSERT_TRUE(index->Update(row, Nth(data, (row + 31) % 500, kDim)).ok());
  }
  StringSink sink;
  ASSERT_TRUE(index->SaveTo(sink).ok());
  // 3,000 updates of 500 rows: at most a fifth more nodes than rows may exist.
  EXPECT_LT(sink.data.size(), 600 * (kDim * 4 + 64 + 32 * 4 + 40));
}

}  // namespace
}  // namespace alcove::ann
