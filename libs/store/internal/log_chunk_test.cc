#include "libs/store/internal/log_chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/hash.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store::internal {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A chunk body with a checksum that fits, so that what is behind the checksum is reached.
std::string Sealed(std::string body) {
  uint64_t sum = Hash64(body);
  for (int i = 0; i < 8; ++i, sum >>= 8) body.push_back(static_cast<char>(sum));
  return body;
}

absl::Status Decode(const std::string& bytes) { return DecodeChunk(bytes).status(); }

TEST(LogChunk, KeepsEveryRecord) {
  const std::string data(1000, '\x80');
  const std::vector<Chunk> chunks =
      EncodeChunks({{RecordKind::kPut, "a", data}, {RecordKind::kDelete, "b", ""}, {RecordKind::kMerge, "c", "x"}});
  ASSERT_THAT(chunks, SizeIs(1));
  EXPECT_EQ(chunks[0].count, 3);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<LogRecord> records, DecodeChunk(chunks[0].bytes));
  ASSERT_THAT(records, SizeIs(3));
  EXPECT_EQ(records[0].data, data);
  EXPECT_EQ(records[1].kind, RecordKind::kDelete);
  EXPECT_EQ(records[1].key, "b");
  EXPECT_EQ(records[2].data, "x");
}

// The bytes a database in the field holds must stay readable.
TEST(LogChunk, FormatIsFixed) {
  const std::vector<Chunk> chunks = EncodeChunks({{RecordKind::kPut, "id", "data"}});
  EXPECT_EQ(ToHex(chunks[0].bytes), "0101010269640464617461" + ToHex(Sealed(std::string("\x01\x01\x01\x02id\x04"
                                                                                        "data",
                                                                                        11))
                                                                         .substr(11)));
}

TEST(LogChunk, ClosesAChunkAtItsSize) {
  const std::string data(kChunkBytes / 2, 'x');
  const std::vector<LogRecord> records(5, {RecordKind::kPut, "k", data});
  const std::vector<Chunk> chunks = EncodeChunks(records);
  ASSERT_THAT(chunks, SizeIs(3));
  EXPECT_EQ(chunks[0].count, 2);
  EXPECT_EQ(chunks[2].count, 1);
}

TEST(LogChunk, EveryFlippedBitAndEveryTruncationIsNoticed) {
  const std::string good =
      EncodeChunks({{RecordKind::kPut, "key", "some data"}, {RecordKind::kDelete, "b", ""}})[0].bytes;
  ASSERT_THAT(Decode(good), IsOk());
  for (size_t i = 0; i < good.size() * 8; ++i) {
    std::string bad = good;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    EXPECT_THAT(Decode(bad), StatusIs(absl::StatusCode::kDataLoss)) << i;
  }
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(Decode(good.substr(0, size)).ok()) << size;
}

TEST(LogChunk, RefusesWhatDoesNotFitItsBoundsEvenWithARightChecksum) {
  EXPECT_THAT(Decode(Sealed(std::string("\x02\x01\x01\x01k\x00", 6))),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("version 2")));
  EXPECT_THAT(Decode(Sealed(std::string("\x01\x00", 2))), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("count")));
  EXPECT_THAT(Decode(Sealed("\x01\xff\xff\xff\xff\x0f")), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("count")));
  EXPECT_THAT(Decode(Sealed(std::string("\x01\x01\x04\x01k\x00", 6))),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("kind 4")));
  EXPECT_THAT(Decode(Sealed(std::string("\x01\x01\x01\x00\x00\x00", 6))),
              StatusIs(absl::StatusCode::kDataLoss));  // empty key
  EXPECT_THAT(Decode(Sealed(std::string("\x01\x01\x01\x7fk\x00", 6))), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Decode(Sealed(std::string("\x01\x01\x01\x01k\x00more", 10))),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("after the last")));
}

TEST(LogChunk, VarintsOfEveryLengthComeBackAndOverlongOnesDoNot) {
  for (int bits = 0; bits <= 64; ++bits) {
    const uint64_t value = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    std::string bytes;
    AppendVarint(value, &bytes);
    absl::string_view in = bytes;
    uint64_t back = 1;
    ASSERT_TRUE(TakeVarint(&in, &back));
    EXPECT_EQ(back, value);
    EXPECT_TRUE(in.empty());
  }
  uint64_t ignored = 0;
  absl::string_view in = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";  // 65 bits
  EXPECT_FALSE(TakeVarint(&in, &ignored));
  in = "\x80";
  EXPECT_FALSE(TakeVarint(&in, &ignored));
}

}  // namespace
}  // namespace alcove::store::internal
