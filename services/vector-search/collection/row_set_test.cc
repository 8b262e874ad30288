#include "services/vector-search/collection/row_set.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

TEST(RowSet, EqualsAStandardSetThroughRandomChanges) {
  std::mt19937 rng(1);
  RowSet rows;
  std::set<Row> model;
  // Phases of growing and shrinking make containers change form both ways.
  for (int phase = 0; phase < 6; ++phase) {
    for (int i = 0; i < 20'000; ++i) {
      const Row row = rng() % 3 == 0 ? rng() % 200'000 : 65'536 + rng() % 12'000;
      const bool add = (rng() % 10) < (phase % 2 == 0 ? 9u : 2u);
      if (add) {
        EXPECT_EQ(rows.Add(row), model.insert(row).second);
      } else {
        EXPECT_EQ(rows.Remove(row), model.erase(row) == 1);
      }
    }
    ASSERT_EQ(rows.size(), model.size());
    RowBitmap bitmap(200'000);
    rows.AddTo(bitmap);
    ASSERT_EQ(bitmap.Count(), model.size());
    auto it = model.begin();
    bitmap.ForEach([&](Row row) { return row == *it++; });
    EXPECT_EQ(it, model.end());
    for (const Row row : model) ASSERT_TRUE(rows.Contains(row));
    RowBitmap third(150'000);
    size_t both = 0;
    for (Row row = 0; row < third.size(); row += 3) {
      third.Add(row);
      both += model.contains(row);
    }
    ASSERT_EQ(rows.CountIn(third), both);
    for (int i = 0; i < 1000; ++i) {
      const Row from = rng() % 210'000;
      const auto next = model.lower_bound(from);
      ASSERT_EQ(bitmap.NextFrom(from), next == model.end() ? ~Row{0} : *next);
    }
  }
}

TEST(RowSet, LeavesOutRowsBeyondTheBitmap) {
  RowSet rows;
  for (Row row = 0; row < 10'000; ++row) rows.Add(row);
  for (const size_t size : {0u, 1u, 63u, 64u, 100u, 9'999u, 10'000u, 70'000u}) {
    RowBitmap bitmap(size);
    rows.AddTo(bitmap);
    EXPECT_EQ(bitmap.Count(), std::min<size_t>(size, 10'000));
  }
}

TEST(RowBitmap, CombinesLikeSets) {
  RowBitmap a(130), b(130);
  for (Row row : {1u, 64u, 129u}) a.Add(row);
  for (Row row : {1u, 65u, 129u}) b.Add(row);
  RowBitmap both = a;
  both.And(b);
  EXPECT_EQ(both.Count(), 2u);
  RowBitmap either = a;
  either.Or(b);
  EXPECT_EQ(either.Count(), 4u);
  RowBitmap only = a;
  only.AndNot(b);
  EXPECT_TRUE(only.Contains(64));
  EXPECT_EQ(only.Count(), 1u);
  EXPECT_FALSE(a.Contains(1'000'000));
}

}  // namespace
}  // namespace alcove::vector_search
