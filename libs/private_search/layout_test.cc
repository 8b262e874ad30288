#include "libs/private_search/layout.h"

#include <bit>
#include <cmath>
#include <random>
#include <set>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/private_search/query.h"
#include "libs/private_search/records.h"

namespace alcove::private_search {
namespace {

constexpr uint64_t kT = 417793;

std::vector<int32_t> RandomNumbers(std::mt19937& rng, size_t count, int limit) {
  std::uniform_int_distribution<int> number(-limit, limit);
  std::vector<int32_t> out;
  for (size_t i = 0; i < count; ++i) out.push_back(number(rng));
  return out;
}

// What the server computes, on plaintexts: expansion, then one polynomial product a selector, modulo X^N + 1 and t.
std::vector<uint64_t> PlainScores(const Layout& layout, const fhe::Modulus& t,
                                  const std::vector<std::vector<uint64_t>>& query, const std::vector<int8_t>& spread) {
  const size_t n = layout.degree();
  std::vector<uint64_t> out(n);
  size_t selector = 0;
  for (size_t p = 0; p < layout.parts().size(); ++p) {
    const QueryPart& part = layout.parts()[p];
    const size_t step = size_t{1} << part.doublings;
    for (size_t s = 0; s < part.selectors; ++s, ++selector) {
      for (size_t j = s; j < query[p].size(); j += step) {
        const uint64_t m = t.Mul(query[p][j], step % kT);  // the doublings
        for (size_t at = 0; at < n; ++at) {
          const int8_t v = spread[at * layout.selectors() + selector];
          if (v == 0) continue;
          const size_t to = at + (j - s);
          const uint64_t product = t.Mul(m, t.FromSigned(v));
          uint64_t& sum = out[to % n];
          sum = to < n ? t.Add(sum, product) : t.Sub(sum, product);
        }
      }
    }
  }
  return out;
}

TEST(LayoutTest, EveryLayoutGivesTheInnerProducts) {
  std::mt19937 rng(1);
  const fhe::Modulus t(kT);
  struct Case {
    uint32_t degree, dimension, doublings;
    uint64_t rows;
  };
  for (const Case& c :
       {Case{256, 24, 5, 256}, Case{256, 24, 5, 100}, Case{256, 24, 5, 40}, Case{256, 24, 5, 9}, Case{256, 1, 5, 3},
        Case{256, 70, 5, 300}, Case{256, 70, 5, 20}, Case{256, 33, 5, 1}, Case{256, 32, 5, 8}}) {
    const auto layout = Layout::Choose(c.degree, c.dimension, c.doublings, c.rows);
    ASSERT_TRUE(layout.ok()) << layout.status();
    const uint32_t rows = static_cast<uint32_t>(std::min<uint64_t>(c.rows, layout->rows_per_block()));
    const auto query = RandomNumbers(rng, c.dimension, 50);
    const auto numbers = RandomNumbers(rng, size_t{rows} * c.dimension, 20);
    const std::vector<int8_t> values(numbers.begin(), numbers.end());
    const auto packed = PackQuery(*layout, t, query);
    ASSERT_TRUE(packed.ok()) << packed.status();
    const auto scores = UnpackScores(*layout, kT, PlainScores(*layout, t, *packed, layout->Spread(values, rows)), rows);
    for (uint32_t r = 0; r < rows; ++r) {
      int64_t want = 0;
      for (uint32_t d = 0; d < c.dimension; ++d) want += query[d] * values[r * c.dimension + d];
      ASSERT_EQ(scores[r], want) << "row " << r << " of " << rows << ", dimension " << c.dimension << ", chunk "
                                 << layout->chunk();
    }
  }
}

TEST(LayoutTest, SmallCollectionsNeedFewerSelectors) {
  const auto selectors = [](uint32_t dimension, uint64_t rows) {
    return Layout::Choose(4096, dimension, 9, rows)->selectors();
  };
  EXPECT_EQ(selectors(384, 100'000), 384u);
  EXPECT_EQ(selectors(384, 4096), 384u);
  EXPECT_EQ(selectors(384, 2048), 256u);
  EXPECT_EQ(selectors(384, 1000), 128u);
  EXPECT_EQ(selectors(384, 8), 1u);
  EXPECT_EQ(selectors(1536, 100'000), 1536u);
  EXPECT_EQ(Layout::Choose(4096, 1536, 9, 100'000)->parts().size(), 3u);
  EXPECT_EQ(Layout::Choose(4096, 384, 9, 5000)->Blocks(5000), 2u);
  EXPECT_EQ(Layout::Choose(4096, 384, 9, 0)->Blocks(0), 0u);
}

TEST(LayoutTest, PositionsOfABlockAreDistinct) {
  for (const uint32_t chunk : {1u, 2u, 16u, 512u}) {
    const auto layout = Layout::Make(4096, 384, static_cast<uint32_t>(9 - std::bit_width(chunk) + 1), chunk);
    ASSERT_TRUE(layout.ok());
    std::set<uint32_t> seen;
    for (uint32_t r = 0; r < layout->rows_per_block(); ++r) {
      EXPECT_LT(layout->Position(r), 4096u);
      seen.insert(layout->Position(r));
    }
    EXPECT_EQ(seen.size(), layout->rows_per_block());
  }
}

TEST(LayoutTest, RefusesWhatCannotBe) {
  EXPECT_FALSE(Layout::Choose(4096, 0, 9, 1).ok());
  EXPECT_FALSE(Layout::Choose(4096, 2049, 9, 1).ok());
  EXPECT_FALSE(Layout::Choose(4095, 16, 9, 1).ok());
  EXPECT_FALSE(Layout::Make(4096, 16, 9, 3).ok());
  EXPECT_FALSE(Layout::Make(4096, 16, 9, 16).ok());
  EXPECT_FALSE(Layout::Make(4096, 16, 40, 1).ok());
  const Layout layout = *Layout::Choose(4096, 4, 9, 1);
  EXPECT_FALSE(PackQuery(layout, fhe::Modulus(kT), std::vector<int32_t>{1, 2, 3}).ok());
  EXPECT_FALSE(PackQuery(layout, fhe::Modulus(kT), std::vector<int32_t>{1, 2, 3, 300'000}).ok());
}

TEST(QueryTest, QuantisesToTheScaleAsked) {
  const auto q = QuantiseQuery(std::vector<float>{3, -4}, 100, true);
  ASSERT_TRUE(q.ok());
  EXPECT_EQ(q->numbers, (std::vector<int32_t>{60, -80}));
  EXPECT_DOUBLE_EQ(q->norm, 100);
  EXPECT_EQ(QuantiseQuery(std::vector<float>{3, -4}, 10, false)->numbers, (std::vector<int32_t>{30, -40}));
  EXPECT_FALSE(QuantiseQuery(std::vector<float>{0, 0}, 10, true).ok());
  EXPECT_FALSE(QuantiseQuery(std::vector<float>{NAN}, 10, true).ok());
}

// The reply to a lookup, on plaintexts.
std::vector<std::vector<uint64_t>> PlainLookup(const RecordLayout& layout, const fhe::Modulus& t,
                                               const std::vector<std::vector<uint64_t>>& query,
                                               const std::vector<std::string>& records) {
  std::vector<std::vector<uint64_t>> out(layout.pieces(), std::vector<uint64_t>(layout.degree()));
  for (uint32_t part = 0; part < layout.parts(); ++part) {
    const uint32_t width = layout.PartSelectors(part);
    for (uint32_t piece = 0; piece < layout.pieces(); ++piece) {
      const auto spread = layout.Spread(part, piece, [&](uint64_t i) -> const std::string& { return records[i]; });
      for (uint32_t s = 0; s < width; ++s) {
        const uint64_t m = t.Mul(query[part][s], uint64_t{1} << layout.PartDoublings(part));
        for (uint32_t at = 0; at < layout.degree(); ++at) {
          out[piece][at] = t.Add(out[piece][at], t.Mul(m, t.FromSigned(spread[size_t{at} * width + s])));
        }
      }
    }
  }
  return out;
}

TEST(RecordsTest, EveryRecordComesBack) {
  const fhe::Modulus t(kT);
  for (const uint32_t bytes : {64u, 1008u, 1024u, 2500u}) {
    std::vector<std::string> documents, records;
    for (int i = 0; i < 70; ++i) {
      documents.push_back(absl::StrCat("document ", i, " \xC3\xA9", std::string(static_cast<size_t>(i) * 40, 'x')));
      records.push_back(MakeRecord(documents.back(), bytes));
      ASSERT_EQ(records.back().size(), bytes);
    }
    const auto layout = RecordLayout::Make(1024, 16, bytes, records.size());
    ASSERT_TRUE(layout.ok()) << layout.status();
    for (const uint64_t i : {0u, 1u, 33u, 69u}) {
      const auto pieces = PlainLookup(*layout, t, layout->PackQuery(t, i), records);
      const auto found = layout->Unpack(kT, i, pieces);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->text, documents[i].substr(0, found->text.size()));
      EXPECT_EQ(found->cut, found->text.size() < documents[i].size());
      EXPECT_TRUE(found->cut || found->text == documents[i]);
    }
  }
}

TEST(RecordsTest, ACutDocumentEndsWithAWholeCharacter) {
  const std::string record = MakeRecord("aaaaaaaaaaaa\xE2\x82\xAC", 16);  // 13 bytes of room, the euro sign needs 3
  EXPECT_EQ(record.substr(3, 12), "aaaaaaaaaaaa");
  EXPECT_EQ(record[0], 12);
  EXPECT_EQ(record[2], 1);
}

TEST(RecordsTest, AWrongReplyIsRecognised) {
  const auto layout = RecordLayout::Make(1024, 16, 64, 4);
  std::vector<std::vector<uint64_t>> noise(1, std::vector<uint64_t>(1024, 12345));
  EXPECT_EQ(layout->Unpack(kT, 0, noise).status().code(), absl::StatusCode::kDataLoss);
  std::vector<std::vector<uint64_t>> long_one(1, std::vector<uint64_t>(1024, 127));  // length 0xffff
  EXPECT_EQ(layout->Unpack(kT, 0, long_one).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(layout->Unpack(kT, 0, std::vector<std::vector<uint64_t>>(1)).status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecordsTest, RecordsAreAsSmallAsTheDocuments) {
  EXPECT_EQ(RecordBytesFor(0, 1024), 16u);
  EXPECT_EQ(RecordBytesFor(13, 1024), 16u);
  EXPECT_EQ(RecordBytesFor(14, 1024), 32u);
  EXPECT_EQ(RecordBytesFor(5000, 1024), 1024u);
  EXPECT_EQ(RecordBytesFor(5000, 1030), 1024u);
}

}  // namespace
}  // namespace alcove::private_search
