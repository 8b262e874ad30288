#include "services/vector-search/log/placement.h"

#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace alcove::vector_search {
namespace {

// The placement is durable: another answer would make stored points unreachable.
TEST(Placement, AnswersNeverChange) {
  EXPECT_EQ(JumpConsistentHash(1, 1), 0);
  EXPECT_EQ(JumpConsistentHash(42, 57), 43);
  EXPECT_EQ(JumpConsistentHash(0xdead10cc, 666), 361);
  EXPECT_EQ(JumpConsistentHash(256, 1024), 520);
  std::vector<int32_t> shards;
  for (const char* id : {"", "a", "point-1", "point-2", "\u00e4"}) shards.push_back(ShardOf(id, 7));
  EXPECT_EQ(shards, (std::vector<int32_t>{0, 1, 4, 4, 2}));
}

TEST(Placement, SpreadsPointsEvenly) {
  constexpr int kPoints = 30'000;
  constexpr int kShards = 5;
  std::vector<int> counts(kShards);
  for (int i = 0; i < kPoints; ++i) ++counts[ShardOf(absl::StrCat("point-", i), kShards)];
  for (const int count : counts) EXPECT_NEAR(count, kPoints / kShards, 300);
}

TEST(Placement, GrowingMovesPointsOnlyToTheNewShardAndOnlyTheirShare) {
  constexpr int kPoints = 20'000;
  for (int32_t shards = 1; shards < 8; ++shards) {
    int moved = 0;
    for (int i = 0; i < kPoints; ++i) {
      const std::string id = absl::StrCat("point-", i);
      const int32_t before = ShardOf(id, shards);
      const int32_t after = ShardOf(id, shards + 1);
      if (before == after) continue;
      ++moved;
      ASSERT_EQ(after, shards);
    }
    EXPECT_NEAR(moved, kPoints / (shards + 1), 400) << shards;
  }
}

}  // namespace
}  // namespace alcove::vector_search
