// Readers and writers at once. The value of these tests is largest under ThreadSanitizer.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libs/ann/epoch.h"
#include "libs/ann/index.h"
#include "libs/ann/test_data.h"

namespace alcove::ann {
namespace {

constexpr size_t kDim = 16;

std::unique_ptr<VectorIndex> MakeIndex(Storage codes, Storage vectors) {
  return *MakeHnswIndex({.dim = kDim,
                         .m = 8,
                         .ef_construction = 32,
                         .codes = codes,
                         .vectors = vectors,
                         .max_threads = 2,
                         .max_rows = 1 << 16});
}

TEST(ConcurrentHnsw, SearchesWhileRowsComeChangeAndGo) {
  auto index = MakeIndex(Storage::kInt8, Storage::kF32);
  const auto data = Clustered(1200, kDim, 1);
  // Rows 0..399 never change; every search near one of them must find it, whatever the writers do.
  ASSERT_TRUE(index->AddBatch(Sequence(400), absl::MakeConstSpan(data).first(400 * kDim)).ok());
  std::atomic<bool> done{false};
  std::atomic<int> missed{0}, asked{0}, twice{0};
  const auto reader = [&](size_t first) {
    for (size_t i = first; !done.load(); i = (i + 7) % 400) {
      const auto found = index->Search(Nth(data, i, kDim), {.k = 5, .ef = 64});
      bool hit = false;
      for (size_t a = 0; a < found->size(); ++a) {
        hit |= (*found)[a].row == i;
        for (size_t b = 0; b < a; ++b) twice += (*found)[a].row == (*found)[b].row;
      }
      missed += !hit;
      ++asked;
    }
  };
  const auto writer = [&](size_t begin) {
    for (int round = 0; round < 2; ++round) {
      for (size_t i = begin; i < begin + 300; ++i) {
        ASSERT_TRUE(index->Add(static_cast<RowId>(i), Nth(data, i, kDim)).ok());
      }
      for (size_t i = begin; i < begin + 300; i += 2) {
        ASSERT_TRUE(index->Update(static_cast<RowId>(i), Nth(data, 1199 - i + 400, kDim)).ok());
      }
      for (size_t i = begin; i < begin + 300; ++i) ASSERT_TRUE(index->Remove(static_cast<RowId>(i)).ok());
    }
  };
  std::vector<std::thread> readers, writers;
  readers.emplace_back(reader, 0);
  readers.emplace_back(reader, 3);
  writers.emplace_back(writer, 400);
  writers.emplace_back(writer, 700);
  for (std::thread& t : writers) t.join();
  ASSERT_TRUE(index->Optimize().ok());
  done = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(index->size(), 400u);
  EXPECT_GT(asked.load(), 0);
  EXPECT_EQ(twice.load(), 0);
  EXPECT_LE(missed.load(), asked.load() / 100);
  for (size_t i = 0; i < 400; ++i) {
    EXPECT_EQ(index->Search(Nth(data, i, kDim), {.k = 1, .ef = 400})->front().row, i);
  }
}

TEST(ConcurrentHnsw, OptimizesAndSavesWhileSearchesRun) {
  auto index = MakeIndex(Storage::kInt4, Storage::kF16);
  const auto data = Clustered(600, kDim, 2);
  ASSERT_TRUE(index->AddBatch(Sequence(600), data).ok());
  std::atomic<bool> done{false};
  std::thread reader([&] {
    for (size_t i = 0; !done.load(); i = (i + 1) % 600) {
      EXPECT_EQ(index->Search(Nth(data, i, kDim), {.k = 3, .ef = 32})->size(), 3u);
      EXPECT_TRUE(index->Get(static_cast<RowId>(i)).ok());
      EXPECT_GT(index->MemoryUsage().total(), 0u);
    }
  });
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(index->Optimize().ok());
    StringSink sink;
    EXPECT_TRUE(index->SaveTo(sink).ok());
  }
  done = true;
  reader.join();
}

TEST(ConcurrentFlat, SearchesWhileRowsComeChangeAndGo) {
  auto index = *MakeFlatIndex({.dim = kDim});
  const auto data = Clustered(400, kDim, 3);
  ASSERT_TRUE(index->AddBatch(Sequence(100), absl::MakeConstSpan(data).first(100 * kDim)).ok());
  std::atomic<bool> done{false};
  std::thread reader([&] {
    for (size_t i = 0; !done.load(); i = (i + 1) % 100) {
      EXPECT_EQ(index->Search(Nth(data, i, kDim), {.k = 1})->front().row, i);
    }
  });
  for (int round = 0; round < 3; ++round) {
    for (RowId row = 100; row < 250; ++row) ASSERT_TRUE(index->Add(row, Nth(data, row, kDim)).ok());
    for (RowId row = 100; row < 250; ++row) ASSERT_TRUE(index->Update(row, Nth(data, row + 150, kDim)).ok());
    for (RowId row = 100; row < 250; ++row) ASSERT_TRUE(index->Remove(row).ok());
  }
  done = true;
  reader.join();
  EXPECT_EQ(index->size(), 100u);
}

TEST(Epochs, HoldATicketBackUntilEarlierReadersLeave) {
  EpochDomain epochs;
  auto early = std::make_unique<EpochDomain::Pin>(epochs.Enter());
  const uint64_t ticket = epochs.Retire();
  const EpochDomain::Pin late = epochs.Enter();
  EXPECT_FALSE(epochs.Passed(ticket));
  early.reset();
  EXPECT_TRUE(epochs.Passed(ticket));
}

}  // namespace
}  // namespace alcove::ann
