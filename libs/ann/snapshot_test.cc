#include "libs/ann/snapshot.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "libs/ann/index.h"
#include "libs/ann/test_data.h"

namespace alcove::ann {
namespace {

constexpr size_t kDim = 8;

std::string Saved(const VectorIndex& index) {
  StringSink sink;
  EXPECT_TRUE(index.SaveTo(sink).ok());
  return sink.data;
}

absl::Status Loading(const std::string& data, size_t max_bytes = 64 << 20) {
  StringSource source(data);
  return LoadIndex(source, {.max_bytes = max_bytes}).status();
}

std::unique_ptr<VectorIndex> SmallHnsw() {
  auto index = *MakeHnswIndex({.dim = kDim, .m = 4, .ef_construction = 16, .max_rows = 1000});
  EXPECT_TRUE(index->AddBatch(Sequence(60), Clustered(60, kDim, 1), 1).ok());
  return index;
}

TEST(Snapshot, BringsAFlatIndexBack) {
  auto index = *MakeFlatIndex({.dim = kDim, .metric = Metric::kL2});
  const auto data = Clustered(50, kDim, 1);
  ASSERT_TRUE(index->AddBatch(Sequence(50, 10), data).ok());
  ASSERT_TRUE(index->Remove(12).ok());
  const std::string bytes = Saved(*index);
  StringSource source(bytes);
  const auto loaded = LoadIndex(source);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->size(), 49u);
  EXPECT_EQ((*loaded)->metric(), Metric::kL2);
  EXPECT_EQ(*(*loaded)->Get(20), *index->Get(20));
  EXPECT_FALSE((*loaded)->Contains(12));
  EXPECT_EQ(*(*loaded)->Search(Nth(data, 3, kDim), {.k = 5}), *index->Search(Nth(data, 3, kDim), {.k = 5}));
}

TEST(Snapshot, BringsAnEmptyIndexBack) {
  auto index = *MakeHnswIndex({.dim = kDim, .max_rows = 100});
  const std::string bytes = Saved(*index);
  StringSource source(bytes);
  const auto loaded = LoadIndex(source);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->size(), 0u);
  EXPECT_TRUE((*loaded)->Add(0, std::vector<float>(kDim, 1.0f)).ok());
}

TEST(Snapshot, NoticesEveryTruncation) {
  const std::string bytes = Saved(*SmallHnsw());
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 50) {
    EXPECT_TRUE(absl::IsDataLoss(Loading(bytes.substr(0, size)))) << size;
  }
}

TEST(Snapshot, NoticesEveryFlippedBit) {
  const std::string bytes = Saved(*SmallHnsw());
  ASSERT_TRUE(Loading(bytes).ok());
  for (size_t at = 0; at < bytes.size(); at += 1 + at / 40) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    EXPECT_FALSE(Loading(damaged).ok()) << at;
  }
}

TEST(Snapshot, RefusesNewerAndOlderVersionsByName) {
  std::string bytes = Saved(*SmallHnsw());
  for (char version : {1, 3}) {
    bytes[8] = version;
    const absl::Status status = Loading(bytes);
    EXPECT_EQ(status.code(), version == 1 ? absl::StatusCode::kDataLoss : absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(std::string(status.message()).find("version " + std::to_string(version)), std::string::npos);
  }
}

TEST(Snapshot, OpensAFileWithItsVectorsMapped) {
  const auto data = Clustered(3000, kDim, 1);
  for (const bool hnsw : {true, false}) {
    auto index = hnsw ? *MakeHnswIndex({.dim = kDim, .m = 8, .ef_construction = 32, .max_rows = 5000})
                      : *MakeFlatIndex({.dim = kDim});
    ASSERT_TRUE(index->AddBatch(Sequence(3000), data, 1).ok());
    const std::string path = testing::TempDir() + "ann_snapshot_test_mapped";
    const std::string bytes = Saved(*index);
    std::ofstream(path, std::ios::binary) << bytes;
    auto opened = OpenIndex(path);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_LE((*opened)->MemoryUsage().vectors + 3000 * kDim * 3, index->MemoryUsage().vectors);
    for (size_t i = 0; i < 3000; i += 97) {
      EXPECT_EQ(*(*opened)->Get(static_cast<RowId>(i)), *index->Get(static_cast<RowId>(i)));
      const SearchParams params{.k = 5, .ef = 40};
      EXPECT_EQ(*(*opened)->Search(Nth(data, i, kDim), params), *index->Search(Nth(data, i, kDim), params));
    }
    // It changes like any other, and the file does not.
    ASSERT_TRUE((*opened)->Update(5, Nth(data, 6, kDim)).ok());
    for (RowId row = 3000; row < 3100; ++row) ASSERT_TRUE((*opened)->Add(row, Nth(data, row - 3000, kDim)).ok());
    EXPECT_EQ(*(*opened)->Get(3050), *index->Get(50));
    ASSERT_TRUE((*opened)->Optimize().ok());
    EXPECT_EQ(*(*opened)->Get(3050), *index->Get(50));
    std::ostringstream after;
    after << std::ifstream(path, std::ios::binary).rdbuf();
    EXPECT_TRUE(after.str() == bytes);
    std::string damaged = bytes;
    damaged[bytes.size() / 2] = static_cast<char>(damaged[bytes.size() / 2] ^ 4);
    std::ofstream(path, std::ios::binary) << damaged;
    EXPECT_TRUE(absl::IsDataLoss(OpenIndex(path).status()));
    std::remove(path.c_str());
    EXPECT_TRUE(absl::IsNotFound(OpenIndex(path).status()));
  }
}

TEST(Snapshot, RefusesMoreMemoryThanAllowed) {
  EXPECT_TRUE(absl::IsResourceExhausted(Loading(Saved(*SmallHnsw()), 100)));
}

TEST(Snapshot, PassesOnAFailingSink) {
  class FullDisk final : public ByteSink {
   public:
    absl::Status Append(std::string_view) override { return absl::ResourceExhaustedError("disk full"); }
  } sink;
  EXPECT_TRUE(absl::IsResourceExhausted(SmallHnsw()->SaveTo(sink)));
}

}  // namespace
}  // namespace alcove::ann
