#include "libs/store/log_store.h"

#include <atomic>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LogStoreTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (store_ != nullptr) id_ = MakeCollection("docs", 3);
  }

  LogStore& log() { return store().log(); }
  ShardAddress Shard(int32_t shard) const { return {id_, 1, shard}; }

  // Appends puts of the given keys, the data being the key in capitals.
  absl::StatusOr<AppendResult> Put(int32_t shard, std::vector<std::string> keys, std::string idempotency_key = "") {
    AppendRequest request{id_, 1, {{shard, {}}}, std::move(idempotency_key)};
    for (const std::string& key : keys) request.shards[0].records.push_back({RecordKind::kPut, key, "data"});
    return log().Append(request);
  }

  // "sequence key" of every record, read in pages of at most `max_bytes`.
  std::vector<std::string> ReadAll(int32_t shard, Sequence after = 0, int64_t max_bytes = 1 << 20) {
    std::vector<std::string> out;
    ReadPosition position{after, std::nullopt};
    while (true) {
      absl::StatusOr<LogPage> page = log().ReadFrom(Shard(shard), position, max_bytes);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) return out;
      for (const StoredRecord& r : page->records()) {
        out.push_back(absl::StrCat(r.sequence, r.kind == RecordKind::kDelete ? " -" : " ", r.key));
        position.after_sequence = r.sequence;
      }
      if (page->at_end()) return out;
      EXPECT_THAT(page->records(), ::testing::Not(IsEmpty()));
      if (page->records().empty()) return out;
    }
  }

  int64_t id_ = 0;
};

TEST_P(LogStoreTest, NumbersTheRecordsOfEachShardFromOneWithoutHoles) {
  AppendRequest request{
      id_,
      1,
      {{2, {{RecordKind::kPut, "a", "1"}, {RecordKind::kDelete, "b", ""}}}, {0, {{RecordKind::kMerge, "c", "3"}}}},
      ""};
  absl::StatusOr<AppendResult> result = log().Append(request);
  ASSERT_THAT(result, IsOk());
  EXPECT_THAT(result->shards, ElementsAre(ShardSequence{2, 2}, ShardSequence{0, 1}));
  EXPECT_FALSE(result->replayed);
  EXPECT_THAT(Put(2, {"d", "e"})->shards, ElementsAre(ShardSequence{2, 4}));
  EXPECT_THAT(ReadAll(2), ElementsAre("1 a", "2 -b", "3 d", "4 e"));
  EXPECT_THAT(ReadAll(0), ElementsAre("1 c"));
  EXPECT_THAT(ReadAll(1), IsEmpty());
  EXPECT_THAT(ReadAll(2, 1), ElementsAre("2 -b", "3 d", "4 e"));  // from the middle of a chunk
  EXPECT_THAT(ReadAll(2, 4), IsEmpty());
}

TEST_P(LogStoreTest, GivesBackBytesOfEveryValue) {
  std::string data;
  for (int i = 0; i < 256; ++i) data.push_back(static_cast<char>(i));
  ASSERT_THAT(log().Append({id_, 1, {{0, {{RecordKind::kPut, data, data}, {RecordKind::kPut, "empty", ""}}}}, ""}),
              IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const LogPage page, log().ReadFrom(Shard(0), {}, 1));
  ASSERT_THAT(page.records(), SizeIs(2));  // a chunk is never cut
  EXPECT_EQ(page.records()[0].key, data);
  EXPECT_EQ(page.records()[0].data, data);
  EXPECT_EQ(page.records()[1].data, "");
  EXPECT_EQ(page.head().head_sequence, 2);
  EXPECT_TRUE(page.at_end());
}

TEST_P(LogStoreTest, ReadsInPagesOfAboutTheWantedSize) {
  const std::string big(400'000, 'x');
  for (int i = 0; i < 6; ++i) {
    const std::string key = absl::StrCat("k", i);
    ASSERT_THAT(log().Append({id_, 1, {{0, {{RecordKind::kPut, key, big}}}}, ""}), IsOk());
  }
  ALCOVE_ASSERT_OK_AND_ASSIGN(const LogPage page, log().ReadFrom(Shard(0), {1, {}}, 1'000'000));
  EXPECT_THAT(page.records(), SizeIs(2));
  EXPECT_FALSE(page.at_end());
  EXPECT_THAT(ReadAll(0, 0, 1'000'000), SizeIs(6));
  EXPECT_THAT(ReadAll(0, 0, 1), SizeIs(6));
}

TEST_P(LogStoreTest, CutsALargeBatchIntoChunksInOneTransaction) {
  const std::string big(900'000, 'x');
  std::vector<std::string> keys;
  for (int i = 0; i < 9; ++i) keys.push_back(absl::StrCat("k", i));
  AppendRequest request{id_, 1, {{1, {}}}, ""};
  for (const std::string& key : keys) request.shards[0].records.push_back({RecordKind::kPut, key, big});
  EXPECT_THAT(log().Append(request)->shards, ElementsAre(ShardSequence{1, 9}));
  EXPECT_THAT(ReadAll(1, 4, 1), ElementsAre("5 k4", "6 k5", "7 k6", "8 k7", "9 k8"));
}

TEST_P(LogStoreTest, RefusesWhatIsOutOfBoundsAndStoresNothingOfIt) {
  const auto code = [&](const AppendRequest& r) { return log().Append(r).status().code(); };
  using absl::StatusCode;
  const LogRecord good{RecordKind::kPut, "k", "v"};
  const std::string long_key(1025, 'k');
  EXPECT_EQ(code({id_, 1, {}, ""}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 1, {{0, {}}}, ""}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 1, {{0, {good}}, {0, {good}}}, ""}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 1, {{0, {good, {RecordKind::kPut, "", ""}}}}, ""}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 1, {{0, {good, {RecordKind::kPut, long_key, ""}}}}, ""}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 1, {{0, {good}}, {3, {good}}}, ""}), StatusCode::kInvalidArgument);  // there is no shard 3
  EXPECT_EQ(code({id_, 1, {{0, {good}}}, std::string(129, 'i')}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({id_, 2, {{0, {good}}}, ""}), StatusCode::kFailedPrecondition);
  EXPECT_EQ(code({id_ + 1, 1, {{0, {good}}}, ""}), StatusCode::kNotFound);
  EXPECT_THAT(ReadAll(0), IsEmpty());
  EXPECT_THAT(log().ReadFrom({id_, 1, 7}, {}, 1), StatusIs(StatusCode::kNotFound, HasSubstr("shard 7")));
  EXPECT_THAT(log().ReadFrom(Shard(0), {}, 0), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(LogStoreTest, ARepeatedRequestIsStoredOnce) {
  EXPECT_THAT(Put(0, {"a", "b"}, "once")->shards, ElementsAre(ShardSequence{0, 2}));
  ASSERT_THAT(Put(0, {"c"}), IsOk());
  absl::StatusOr<AppendResult> again = Put(0, {"a", "b"}, "once");
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(again->shards, ElementsAre(ShardSequence{0, 2}));
  EXPECT_TRUE(again->replayed);
  EXPECT_THAT(Put(0, {"a", "other"}, "once"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("once")));
  // Which shard a record goes to follows from its key and the placement: it does not make another batch.
  EXPECT_TRUE(Put(1, {"a", "b"}, "once")->replayed);
  EXPECT_THAT(ReadAll(0), ElementsAre("1 a", "2 b", "3 c"));
  clock_.Advance(absl::Hours(25));
  EXPECT_THAT(Put(0, {"a", "other"}, "once")->shards, ElementsAre(ShardSequence{0, 5}));
}

TEST_P(LogStoreTest, HeadsAreOrderedByAddress) {
  const int64_t other = MakeCollection("other", 1);
  ASSERT_THAT(Put(1, {"a", "b"}), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<ShardHead> heads, log().Heads(id_));
  ASSERT_THAT(heads, SizeIs(3));
  EXPECT_EQ(heads[1].address, Shard(1));
  EXPECT_EQ(heads[1].head_sequence, 2);
  EXPECT_EQ(heads[2].head_sequence, 0);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<ShardHead> all, log().AllHeads());
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[3].address, (ShardAddress{other, 1, 0}));
  EXPECT_EQ(log().Head(Shard(1))->head_sequence, 2);
}

TEST_P(LogStoreTest, AReaderAheadOfTheLogIsToldThatDataIsMissing) {
  ASSERT_THAT(Put(0, {"a"}), IsOk());
  EXPECT_THAT(log().ReadFrom(Shard(0), {5, {}}, 1), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("ends at 1")));
}

TEST_P(LogStoreTest, ConcurrentAppendsOfTwoStoresKeepEveryBatchWholeAndInOrder) {
  constexpr int kThreads = 6;
  constexpr int kBatches = 20;
  std::unique_ptr<Store> other = OpenAgain();
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      LogStore& log = (t % 2 == 0 ? store() : *other).log();
      for (int b = 0; b < kBatches; ++b) {
        const std::string first = absl::StrCat(t, ".", b, ".0");
        const std::string second = absl::StrCat(t, ".", b, ".1");
        // Opposite orders of shards, so that a careless lock order would end in a deadlock.
        const int32_t x = t % 2 == 0 ? 0 : 1;
        const AppendRequest request{id_,
                                    1,
                                    {{x, {{RecordKind::kPut, first, ""}, {RecordKind::kPut, second, ""}}},
                                     {1 - x, {{RecordKind::kPut, first, ""}}}},
                                    ""};
        if (!log.Append(request).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (int32_t shard : {0, 1}) {
    const std::vector<std::string> records = ReadAll(shard, 0, 4096);
    EXPECT_THAT(records, SizeIs(kThreads / 2 * kBatches * 3));
    std::map<std::string, int> next_batch;  // by thread: its batches must appear in its own order
    for (size_t i = 0; i < records.size(); ++i) {
      const std::string expected_prefix = absl::StrCat(i + 1, " ");
      ASSERT_EQ(records[i].substr(0, expected_prefix.size()), expected_prefix);
      const std::string key = records[i].substr(expected_prefix.size());
      const size_t dot = key.find('.');
      const int batch = std::stoi(key.substr(dot + 1));
      if (key.back() == '0') {
        EXPECT_EQ(next_batch[key.substr(0, dot)]++, batch);
      } else {
        // The second of a batch follows the first directly.
        EXPECT_EQ(records[i - 1].substr(records[i - 1].find(' ') + 1), key.substr(0, key.size() - 1) + "0");
      }
    }
  }
}

TEST_P(LogStoreTest, AFailingBatchDoesNotHarmTheOthersOfItsGroup) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  std::atomic<int> refused{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const std::string key = absl::StrCat("k", t);
      const AppendRequest request{t % 2 == 0 ? id_ : id_ + 77, 1, {{0, {{RecordKind::kPut, key, ""}}}}, ""};
      const absl::Status status = log().Append(request).status();
      if (status.ok()) ++good;
      if (absl::IsNotFound(status)) ++refused;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 4);
  EXPECT_EQ(refused, 4);
  EXPECT_THAT(ReadAll(0), SizeIs(4));
}

ALCOVE_ON_BOTH_ENGINES(LogStoreTest);

}  // namespace
}  // namespace alcove::store
