// Resharding copies every record once and in order, whatever happens meanwhile.

#include <map>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/common/hash.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;

using State = std::map<std::string, std::string>;

int32_t Place(absl::string_view key, int32_t shards) { return static_cast<int32_t>(Hash64(key) % shards); }

absl::StatusOr<std::optional<std::string>> Concatenate(absl::string_view, const absl::string_view* base,
                                                       absl::string_view change) {
  if (base == nullptr) return std::nullopt;
  return absl::StrCat(*base, "+", change);
}

void Apply(RecordKind kind, const std::string& key, absl::string_view data, State* state) {
  switch (kind) {
    case RecordKind::kPut: (*state)[key] = std::string(data); break;
    case RecordKind::kDelete: state->erase(key); break;
    case RecordKind::kMerge:
      if (auto it = state->find(key); it != state->end()) it->second += absl::StrCat("+", data);
      break;
  }
}

class LogReshardTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    id_ = MakeCollection("docs", 2);
  }
  LogStore& log() { return store().log(); }
  Placement placement() { return store().collections().GetById(id_)->placement; }

  absl::Status Append(Store& store, const Placement& placement, RecordKind kind, const std::string& key,
                      const std::string& data) {
    return store.log()
        .Append({id_, placement.epoch, {{Place(key, placement.shard_count), {{kind, key, data}}}}, ""})
        .status();
  }
  // What the logs of a placement describe; every key must lie on its own shard.
  State Rebuild(const Placement& placement) {
    State state;
    for (int32_t shard = 0; shard < placement.shard_count; ++shard) {
      ReadPosition position;
      bool at_end = false;
      while (!at_end) {
        auto page = log().ReadFrom({id_, placement.epoch, shard}, position, 200);
        EXPECT_THAT(page, IsOk());
        if (!page.ok()) return state;
        if (position.after_sequence == 0) position.tombstone_floor = page->head().tombstone_floor;
        for (const StoredRecord& r : page->records()) {
          EXPECT_EQ(Place(r.key, placement.shard_count), shard) << r.key;
          Apply(r.kind, std::string(r.key), r.data, &state);
          position.after_sequence = r.sequence;
        }
        at_end = page->at_end();
      }
    }
    return state;
  }

  CollectionId id_ = 0;
};

TEST_P(LogReshardTest, CopiesWhatIsWrittenCompactedAndPurgedMeanwhile) {
  for (const uint32_t seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(seed);
    id_ = MakeCollection(absl::StrCat("docs", seed), 2);
    std::mt19937 rng(seed);
    State truth;
    const Placement before = placement();
    std::unique_ptr<Store> other = OpenAgain();
    const auto write = [&](int count) {
      for (int i = 0; i < count; ++i) {
        const std::string key = absl::StrCat("k", rng() % 40);
        const auto kind = static_cast<RecordKind>(1 + rng() % 3);
        const std::string data = absl::StrCat(rng() % 1000);
        ASSERT_THAT(Append(rng() % 2 == 0 ? store() : *other, before, kind, key, data), IsOk());
        Apply(kind, key, data, &truth);
      }
    };
    const auto tidy = [&] {
      const ShardAddress shard{id_, before.epoch, static_cast<int32_t>(rng() % 2)};
      const Sequence head = log().Head(shard)->head_sequence;
      ASSERT_THAT(log().Compact(shard, rng() % (head + 1), 1 + rng() % 500, Concatenate), IsOk());
      ASSERT_THAT(log().PurgeTombstones(shard, rng() % (head + 1), 1 + rng() % 10), IsOk());
    };
    write(60);
    for (int i = 0; i < 5; ++i) tidy();
    ASSERT_THAT(store().collections().BeginResharding(id_, 3), IsOk());
    ReshardProgress progress;
    for (int step = 0; step < 60; ++step) {
      // Two processes copy, one after the other or both.
      ALCOVE_ASSERT_OK_AND_ASSIGN(
          progress, (step % 2 == 0 ? log() : other->log()).CopyForResharding(id_, 1 + rng() % 100, Place));
      EXPECT_LE(progress.copied, progress.head);
      EXPECT_FALSE(progress.committed);
      if (step < 40) {
        write(1 + rng() % 3);
        tidy();
      }
    }
    EXPECT_EQ(log().GetReshardProgress(id_)->copied, progress.copied);
    while (!progress.committed) {
      ALCOVE_ASSERT_OK_AND_ASSIGN(progress, log().CommitResharding(id_, 64, Place));
    }
    const Placement after = placement();
    EXPECT_EQ(after, (Placement{3, 2}));
    EXPECT_EQ(Rebuild(after), truth);
    const Collection collection = *store().collections().GetById(id_);
    ASSERT_EQ(collection.floors.size(), 3u);
    for (int32_t shard = 0; shard < 3; ++shard) {
      EXPECT_EQ(log().Head({id_, 2, shard})->head_sequence, collection.floors[shard]);
    }
    EXPECT_THAT(Append(store(), before, RecordKind::kPut, "k", "late"),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(Append(store(), after, RecordKind::kPut, "k", "new"), IsOk());
    EXPECT_THAT(log().GetReshardProgress(id_), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
}

TEST_P(LogReshardTest, LosesAndDoublesNothingUnderConcurrentWritersAndCopiers) {
  const Placement before = placement();
  ASSERT_THAT(store().collections().BeginResharding(id_, 3), IsOk());
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  std::vector<int> written(3, 0);
  for (int w = 0; w < 3; ++w) {
    writers.emplace_back([&, w] {
      std::unique_ptr<Store> own = OpenAgain();
      Placement placement = before;
      while (!stop || written[w] < 30) {
        const absl::Status status =
            Append(*own, placement, RecordKind::kPut, absl::StrCat("w", w, "-", written[w]), "x");
        if (status.ok()) {
          ++written[w];
        } else {
          ASSERT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
          placement = own->collections().GetById(id_)->placement;
        }
      }
    });
  }
  std::vector<std::thread> copiers;
  for (int i = 0; i < 2; ++i) {
    copiers.emplace_back([&] {
      std::unique_ptr<Store> own = OpenAgain();
      for (int step = 0; step < 10; ++step) ASSERT_THAT(own->log().CopyForResharding(id_, 500, Place), IsOk());
    });
  }
  for (std::thread& copier : copiers) copier.join();
  bool committed = false;
  while (!committed) {
    ALCOVE_ASSERT_OK_AND_ASSIGN(const ReshardProgress progress, log().CommitResharding(id_, 1 << 20, Place));
    committed = progress.committed;
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  const int total = written[0] + written[1] + written[2];
  EXPECT_EQ(Rebuild(placement()).size(), static_cast<size_t>(total));
  // Each was put once: as many records as keys.
  Sequence records = 0;
  for (int32_t shard = 0; shard < 3; ++shard) records += log().Head({id_, 2, shard})->head_sequence;
  EXPECT_EQ(records, total);
}

TEST_P(LogReshardTest, ARepeatedWriteIsRecognisedAcrossAFlip) {
  const AppendRequest first{id_, 1, {{0, {{RecordKind::kPut, "a", "1"}}}, {1, {{RecordKind::kPut, "b", "2"}}}}, "once"};
  ASSERT_THAT(log().Append(first), IsOk());
  ASSERT_THAT(store().collections().BeginResharding(id_, 3), IsOk());
  ASSERT_TRUE(log().CommitResharding(id_, 1 << 20, Place)->committed);
  const AppendRequest again{id_, 2, {{2, {{RecordKind::kPut, "a", "1"}, {RecordKind::kPut, "b", "2"}}}}, "once"};
  ALCOVE_ASSERT_OK_AND_ASSIGN(const AppendResult result, log().Append(again));
  EXPECT_TRUE(result.replayed);
  EXPECT_TRUE(result.shards.empty());
  const AppendRequest other{id_, 2, {{2, {{RecordKind::kPut, "a", "3"}}}}, "once"};
  EXPECT_THAT(log().Append(other), StatusIs(absl::StatusCode::kFailedPrecondition));
}

ALCOVE_ON_BOTH_ENGINES(LogReshardTest);

}  // namespace
}  // namespace alcove::store
