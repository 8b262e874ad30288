#include "libs/ann/snapshot.h"

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
