#include "services/vector-search/sparse/posting_list.h"

#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

float Impact(Row row, uint32_t value) { return static_cast<float>(value) / static_cast<float>(row % 7 + 1); }

// The list holds exactly the model's postings, its blocks are well formed, and bounds hold for every posting.
void ExpectEqual(const PostingList& list, const std::map<Row, uint32_t>& model) {
  ASSERT_EQ(list.size(), model.size());
  auto at = model.begin();
  size_t memory = list.blocks().capacity() * sizeof(PostingList::Block);
  for (const PostingList::Block& block : list.blocks()) {
    ASSERT_GT(block.count, 0);
    ASSERT_LE(block.count, PostingList::kBlockPostings);
    ASSERT_EQ(list.RowAt(block, 0), block.first);
    ASSERT_EQ(list.RowAt(block, block.count - 1u), block.last);
    memory += (size_t{block.capacity} * (block.row_bits + block.value_bits) + 7) / 8 + 8;
    for (uint32_t i = 0; i < block.count; ++i, ++at) {
      ASSERT_NE(at, model.end());
      ASSERT_EQ(list.RowAt(block, i), at->first);
      ASSERT_EQ(list.ValueAt(block, i), at->second);
      const float impact = Impact(at->first, at->second);
      ASSERT_LE(impact, block.high);
      ASSERT_GE(impact, block.low);
      ASSERT_LE(impact, list.high());
      ASSERT_GE(impact, list.low());
    }
  }
  ASSERT_EQ(at, model.end());
  ASSERT_EQ(list.MemoryBytes(), memory);
}

TEST(PostingList, EqualsAMapThroughRandomChanges) {
  std::mt19937 rng(3);
  for (const uint32_t smallest : {0u, 1u}) {
    for (const Row spread : {60u, 300u, 50'000u, 2'000'000'000u}) {
      PostingList list(smallest);
      std::map<Row, uint32_t> model;
      for (int step = 0; step < 4000; ++step) {
        // Mostly growing at first, mostly shrinking later.
        const Row row = rng() % spread;
        if (rng() % 4000 > static_cast<uint32_t>(step)) {
          if (model.contains(row)) continue;
          const uint32_t value = rng() % 20 == 0 ? static_cast<uint32_t>(rng()) | 1 : smallest + rng() % 4;
          list.Insert(row, value, Impact);
          model[row] = value;
        } else if (!model.empty()) {
          auto victim = model.lower_bound(row);
          if (victim == model.end()) victim = model.begin();
          ASSERT_TRUE(list.Remove(victim->first, Impact));
          ASSERT_FALSE(list.Remove(victim->first, Impact));
          model.erase(victim);
        }
        if (step % 97 == 0) ExpectEqual(list, model);
      }
      ExpectEqual(list, model);
    }
  }
}

TEST(PostingList, PacksAscendingRowsTightly) {
  PostingList list(1);
  std::map<Row, uint32_t> model;
  for (Row row = 0; row < 100'000; row += 3) {
    list.Insert(row, 1 + row % 2, Impact);
    model[row] = 1 + row % 2;
  }
  ExpectEqual(list, model);
  // 9 bits for a row, 1 for the value, and a third of a byte a posting for the block's head.
  EXPECT_LT(list.MemoryBytes(), list.size() * 2);
}

TEST(PostingCursor, SeeksAsAMapDoes) {
  std::mt19937 rng(5);
  PostingList list;
  std::map<Row, uint32_t> model;
  for (int i = 0; i < 3000; ++i) {
    const Row row = rng() % 20'000;
    if (model.contains(row)) continue;
    model[row] = rng() % 9;
    list.Insert(row, model[row], Impact);
  }
  for (int round = 0; round < 200; ++round) {
    PostingCursor cursor(list);
    Row target = 0;
    while (cursor.row() != PostingCursor::kEnd) {
      target = std::max(target, cursor.row()) + rng() % (rng() % 8 == 0 ? 3000 : 12);
      if (const PostingList::Block* block = cursor.BlockOf(target)) {
        ASSERT_GE(block->last, target);
      } else {
        ASSERT_EQ(model.lower_bound(target), model.end());
      }
      cursor.Seek(target);
      const auto expected = model.lower_bound(target);
      if (expected == model.end()) {
        ASSERT_EQ(cursor.row(), PostingCursor::kEnd);
        break;
      }
      ASSERT_EQ(cursor.row(), expected->first);
      ASSERT_EQ(cursor.value(), expected->second);
      cursor.Next();
      const auto after = std::next(expected);
      ASSERT_EQ(cursor.row(), after == model.end() ? PostingCursor::kEnd : after->first);
    }
  }
}

}  // namespace
}  // namespace alcove::vector_search
