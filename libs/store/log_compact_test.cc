// Compaction never changes what a reader ends up with, wherever it stands.

#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/log_store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using State = std::map<std::string, std::string>;

// Appends the change to what is there; does not bring a key back.
absl::StatusOr<std::optional<std::string>> Concatenate(absl::string_view, const absl::string_view* base,
                                                       absl::string_view change) {
  if (base == nullptr) return std::nullopt;
  return absl::StrCat(*base, "+", change);
}

void Apply(const StoredRecord& r, State* state) {
  const std::string key(r.key);
  switch (r.kind) {
    case RecordKind::kPut: (*state)[key] = std::string(r.data); break;
    case RecordKind::kDelete: state->erase(key); break;
    case RecordKind::kMerge:
      if (auto it = state->find(key); it != state->end()) it->second += absl::StrCat("+", r.data);
      break;
  }
}

// A reader that reads a page now and then.
struct Reader {
  ReadPosition position;
  State state;

  absl::Status ReadPage(LogStore& log, const ShardAddress& address, int64_t max_bytes, bool* at_end) {
    absl::StatusOr<LogPage> page = log.ReadFrom(address, position, max_bytes);
    if (!page.ok()) return page.status();
    if (!position.tombstone_floor && position.after_sequence == 0) {
      position.tombstone_floor = page->head().tombstone_floor;
    }
    for (const StoredRecord& r : page->records()) {
      EXPECT_GT(r.sequence, position.after_sequence);
      Apply(r, &state);
      position.after_sequence = r.sequence;
    }
    *at_end = page->at_end();
    return absl::OkStatus();
  }
};

class LogCompactTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (store_ != nullptr) shard_ = {MakeCollection("docs", 1), 1, 0};
  }
  LogStore& log() { return store().log(); }
  void Append(std::vector<LogRecord> records) {
    ASSERT_THAT(log().Append({shard_.collection_id, 1, {{0, std::move(records)}}, ""}), IsOk());
  }
  State Rebuild(int64_t max_bytes = 1 << 20) {
    Reader reader;
    bool at_end = false;
    while (!at_end) {
      const absl::Status status = reader.ReadPage(log(), shard_, max_bytes, &at_end);
      EXPECT_THAT(status, IsOk());
      if (!status.ok()) break;
    }
    return reader.state;
  }
  std::vector<std::string> Records() {
    std::vector<std::string> out;
    absl::StatusOr<LogPage> page = log().ReadFrom(shard_, {}, 1 << 30);
    EXPECT_THAT(page, IsOk());
    if (page.ok()) {
      for (const StoredRecord& r : page->records()) {
        out.push_back(absl::StrCat(r.sequence, " ", static_cast<int>(r.kind), " ", r.key, "=", r.data));
      }
    }
    return out;
  }

  ShardAddress shard_;
};

TEST_P(LogCompactTest, KeepsTheNewestRecordOfEachKeyAtItsOwnSequence) {
  Append({{RecordKind::kPut, "a", "1"}, {RecordKind::kPut, "b", "1"}});
  Append({{RecordKind::kPut, "a", "2"}, {RecordKind::kDelete, "b", ""}, {RecordKind::kMerge, "a", "x"}});
  Append({{RecordKind::kMerge, "a", "y"}, {RecordKind::kMerge, "b", "none"}, {RecordKind::kPut, "c", "1"}});
  ALCOVE_ASSERT_OK_AND_ASSIGN(CompactResult result, log().Compact(shard_, 5, 1 << 20, Concatenate));
  EXPECT_EQ(result.base_sequence, 5);
  EXPECT_TRUE(result.done);
  EXPECT_THAT(Records(), ElementsAre("4 2 b=", "5 1 a=2+x", "6 3 a=y", "7 3 b=none", "8 1 c=1"));
  ASSERT_THAT(log().Compact(shard_, 100, 1 << 20, Concatenate), IsOk());
  // The merge into the deleted b changed nothing; its tombstone stays where it was.
  EXPECT_THAT(Records(), ElementsAre("4 2 b=", "6 1 a=2+x+y", "8 1 c=1"));
  EXPECT_EQ(log().Head(shard_)->base_sequence, 8);
  EXPECT_EQ(log().Head(shard_)->head_sequence, 8);
}

TEST_P(LogCompactTest, MovesWholeChunksOfAboutTheWantedSizePerCall) {
  const std::string data(1000, 'x');
  for (int i = 0; i < 10; ++i) {
    const std::string key = absl::StrCat("k", i);
    Append({{RecordKind::kPut, key, data}, {RecordKind::kPut, "same", data}});
  }
  ALCOVE_ASSERT_OK_AND_ASSIGN(CompactResult result, log().Compact(shard_, 20, 4500, nullptr));
  EXPECT_EQ(result.base_sequence, 4);
  EXPECT_FALSE(result.done);
  ALCOVE_ASSERT_OK_AND_ASSIGN(result, log().Compact(shard_, 19, 1, nullptr));  // at least one chunk
  EXPECT_EQ(result.base_sequence, 6);
  while (!result.done) {
    ALCOVE_ASSERT_OK_AND_ASSIGN(result, log().Compact(shard_, 19, 1 << 20, nullptr));
  }
  EXPECT_EQ(result.base_sequence, 18);  // the chunk of 19 and 20 is not cut
  EXPECT_EQ(Rebuild(1).size(), 11u);
}

TEST_P(LogCompactTest, NeedsAMergeFunctionOnlyForMergeRecords) {
  Append({{RecordKind::kPut, "a", "1"}, {RecordKind::kMerge, "a", "2"}});
  EXPECT_THAT(log().Compact(shard_, 2, 1 << 20, nullptr), StatusIs(absl::StatusCode::kInvalidArgument));
  const auto failing = [](absl::string_view, const absl::string_view*, absl::string_view) {
    return absl::StatusOr<std::optional<std::string>>(absl::DataLossError("can not merge"));
  };
  EXPECT_THAT(log().Compact(shard_, 2, 1 << 20, failing), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(log().Head(shard_)->base_sequence, 0);
  EXPECT_EQ(Rebuild(), (State{{"a", "1+2"}}));
}

TEST_P(LogCompactTest, AReaderThatMayHaveMissedAPurgedDeleteBeginsAgain) {
  Append({{RecordKind::kPut, "a", "1"}, {RecordKind::kPut, "b", "1"}});
  Append({{RecordKind::kDelete, "a", ""}});
  Append({{RecordKind::kPut, "c", "1"}});
  ASSERT_THAT(log().Compact(shard_, 3, 1 << 20, nullptr), IsOk());
  EXPECT_THAT(log().ReadFrom(shard_, {2, {}}, 1 << 20), IsOk());  // the tombstone is still there to be seen
  ASSERT_THAT(log().PurgeTombstones(shard_, 100, 1000), IsOk());
  EXPECT_EQ(log().Head(shard_)->tombstone_floor, 3);  // never above what is compacted
  EXPECT_THAT(log().ReadFrom(shard_, {2, {}}, 1 << 20), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(log().ReadFrom(shard_, {2, 0}, 1 << 20), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(log().ReadFrom(shard_, {2, 3}, 1 << 20), IsOk());  // began from 0 after the purge
  EXPECT_THAT(log().ReadFrom(shard_, {3, {}}, 1 << 20), IsOk());
  EXPECT_EQ(Rebuild(), (State{{"b", "1"}, {"c", "1"}}));
  EXPECT_THAT(Records(), ElementsAre("2 1 b=1", "4 1 c=1"));
}

TEST_P(LogCompactTest, PurgesABoundedNumberOfDeletesPerCall) {
  for (int i = 0; i < 10; ++i) {
    const std::string key = absl::StrCat("k", i);
    Append({{RecordKind::kPut, key, "1"}, {RecordKind::kDelete, key, ""}});
  }
  ASSERT_THAT(log().Compact(shard_, 20, 1 << 20, nullptr), IsOk());
  EXPECT_EQ(*log().CountTombstones(shard_, 20, 100), 10);
  EXPECT_EQ(*log().CountTombstones(shard_, 20, 3), 3);
  EXPECT_EQ(*log().PurgeTombstones(shard_, 20, 4), false);
  EXPECT_EQ(log().Head(shard_)->tombstone_floor, 8);  // as far as it has really come
  EXPECT_EQ(*log().CountTombstones(shard_, 20, 100), 6);
  EXPECT_THAT(log().ReadFrom(shard_, {8, {}}, 1 << 20), IsOk());
  EXPECT_EQ(*log().PurgeTombstones(shard_, 20, 4), false);
  EXPECT_EQ(*log().PurgeTombstones(shard_, 20, 4), true);
  EXPECT_EQ(log().Head(shard_)->tombstone_floor, 20);
  EXPECT_THAT(Records(), IsEmpty());
}

TEST_P(LogCompactTest, TheHorizonIsTheSlowestReaderOfThoseHeardOf) {
  Append({{RecordKind::kPut, "a", "1"}, {RecordKind::kPut, "b", "1"}, {RecordKind::kPut, "c", "1"}});
  EXPECT_EQ(*log().ReaderHorizon(shard_, absl::InfinitePast()), std::nullopt);
  ASSERT_THAT(log().ReportReader(shard_, "node-a", 1), IsOk());
  clock_.Advance(absl::Hours(2));
  ASSERT_THAT(log().ReportReader(shard_, "node-b", 3), IsOk());
  EXPECT_EQ(*log().ReaderHorizon(shard_, clock_.Now() - absl::Hours(3)), 1);
  EXPECT_EQ(*log().ReaderHorizon(shard_, clock_.Now() - absl::Hours(1)), 3);  // node-a is given up
  ASSERT_THAT(log().ReportReader(shard_, "node-a", 2), IsOk());
  EXPECT_EQ(*log().ReaderHorizon(shard_, clock_.Now() - absl::Hours(1)), 2);
}

TEST_P(LogCompactTest, AnEmptyBaseStillLeadsOnToTheTail) {
  Append({{RecordKind::kDelete, "a", ""}});
  ASSERT_THAT(log().Compact(shard_, 1, 1 << 20, nullptr), IsOk());
  ASSERT_THAT(log().PurgeTombstones(shard_, 1, 1000), IsOk());
  EXPECT_THAT(Records(), IsEmpty());
  Append({{RecordKind::kPut, "b", "1"}});
  EXPECT_THAT(Records(), ElementsAre("2 1 b=1"));
}

// The property behind invariant 3: whatever is appended, compacted and purged while they read, readers end in the
// state the whole log describes.
TEST_P(LogCompactTest, ReadersInTheMiddleOfCompactionsEndInTheTrueState) {
  std::mt19937 rng(5);
  State truth;
  Sequence head = 0;
  std::vector<Reader> readers(3);
  int restarts = 0;
  const auto step = [&](Reader& reader) {
    bool at_end = false;
    const absl::Status status = reader.ReadPage(log(), shard_, 1 + rng() % 300, &at_end);
    if (absl::IsOutOfRange(status)) {
      reader = Reader();
      ++restarts;
      return false;
    }
    EXPECT_THAT(status, IsOk());
    return at_end;
  };
  for (int round = 0; round < 300; ++round) {
    switch (rng() % 6) {
      case 0:
      case 1: {
        std::vector<std::string> keys;
        std::vector<LogRecord> records;
        const int count = 1 + rng() % 4;
        for (int i = 0; i < count; ++i) keys.push_back(absl::StrCat("k", rng() % 12));
        const std::string data = absl::StrCat(round);
        for (const std::string& key : keys) {
          records.push_back({static_cast<RecordKind>(1 + rng() % 3), key, data});
          Apply({++head, records.back().kind, key, data}, &truth);
        }
        Append(records);
        break;
      }
      case 2: ASSERT_THAT(log().Compact(shard_, rng() % (head + 1), 1 + rng() % 200, Concatenate), IsOk()); break;
      case 3:
        if (rng() % 4 == 0) {
          ASSERT_THAT(log().PurgeTombstones(shard_, rng() % (head + 1), 1 + rng() % 20), IsOk());
        }
        break;
      default: step(readers[rng() % readers.size()]);
    }
  }
  for (Reader& reader : readers) {
    while (!step(reader)) {
    }
    EXPECT_EQ(reader.state, truth);
  }
  EXPECT_EQ(Rebuild(), truth);
  EXPECT_GT(restarts, 0);  // the seed must reach that case
}

ALCOVE_ON_BOTH_ENGINES(LogCompactTest);

}  // namespace
}  // namespace alcove::store
