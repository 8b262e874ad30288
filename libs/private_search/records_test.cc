#include "libs/private_search/records.h"

#include <cmath>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/private_search/query.h"

namespace alcove::private_search {
namespace {

constexpr uint64_t kT = 417793;

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
