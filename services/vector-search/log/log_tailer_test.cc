#include "services/vector-search/log/log_tailer.h"

#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/store/collection_store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"
#include "services/vector-search/log/log_writer.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// Keeps each point's payload; can be told to fail.
class MapSink final : public LogSink {
 public:
  absl::Status Apply(absl::Span<const TailedOperation> operations) override {
    absl::MutexLock lock(&mutex_);
    ALCOVE_RETURN_IF_ERROR(failure_);
    for (const TailedOperation& t : operations) {
      sequences_.push_back(t.sequence);
      const std::string id(t.operation.id);
      if (t.operation.kind == OperationKind::kDelete) {
        points_.erase(id);
      } else {
        points_[id] = std::string(t.operation.payload);
      }
    }
    return absl::OkStatus();
  }
  absl::Status Reset() override {
    absl::MutexLock lock(&mutex_);
    points_.clear();
    sequences_.clear();
    ++resets_;
    return absl::OkStatus();
  }
  void Fail(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  std::map<std::string, std::string> points() {
    absl::MutexLock lock(&mutex_);
    return points_;
  }
  std::vector<store::Sequence> sequences() {
    absl::MutexLock lock(&mutex_);
    return sequences_;
  }
  int resets() {
    absl::MutexLock lock(&mutex_);
    return resets_;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::string> points_;
  std::vector<store::Sequence> sequences_;
  absl::Status failure_;
  int resets_ = 0;
};

class LogTailerTest : public store::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (store_ != nullptr) id_ = MakeCollection("docs", 1);
  }

  store::LogStore& log() { return store().log(); }
  store::ShardAddress address() const { return {id_, 1, 0}; }
  TailerOptions Options(store::Sequence applied = 0) {
    TailerOptions options;
    options.address = address();
    options.applied_sequence = applied;
    options.clock = &clock_;
    return options;
  }
  void Put(std::vector<std::pair<std::string, std::string>> points) { PutInto(store(), std::move(points)); }
  void PutInto(store::Store& into, std::vector<std::pair<std::string, std::string>> points) {
    std::vector<PointOperation> operations;
    for (const auto& [id, payload] : points) {
      PointOperation op;
      op.id = id;
      op.payload = payload;
      operations.push_back(op);
    }
    ASSERT_THAT(LogWriter(&into.log()).Write(id_, {1, 1}, operations), IsOk());
  }
  void Delete(const std::string& id) {
    PointOperation op;
    op.kind = OperationKind::kDelete;
    op.id = id;
    ASSERT_THAT(LogWriter(&log()).Write(id_, {1, 1}, {op}), IsOk());
  }

  int64_t id_ = 0;
  MapSink sink_;
};

TEST_P(LogTailerTest, AppliesInOrderFromTheSnapshotsSequenceOn) {
  Put({{"a", "1"}, {"b", "1"}});
  Put({{"c", "1"}});
  Delete("b");
  LogTailer tailer(&log(), &sink_, Options(2));
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  EXPECT_THAT(sink_.sequences(), ElementsAre(3, 4));
  EXPECT_EQ(tailer.applied_sequence(), 4);
  EXPECT_EQ(tailer.head_sequence(), 4);
  Put({{"d", "1"}});
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  EXPECT_THAT(sink_.sequences(), ElementsAre(3, 4, 5));
}

TEST_P(LogTailerTest, FollowsAppendsOfThisProcessWithoutTheClockMoving) {
  LogTailer tailer(&log(), &sink_, Options());
  tailer.Start();
  for (int i = 1; i <= 20; ++i) {
    Put({{absl::StrCat("p", i), "x"}});
    ASSERT_THAT(tailer.WaitApplied(i, absl::InfiniteFuture()), IsOk());
  }
  EXPECT_EQ(sink_.points().size(), 20u);
  tailer.Stop();
}

TEST_P(LogTailerTest, FollowsAnotherProcessByHint) {
  std::unique_ptr<store::Store> other = OpenAgain();
  LogTailer tailer(&log(), &sink_, Options());
  tailer.Start();
  PutInto(*other, {{"a", "1"}});
  tailer.Hint();
  EXPECT_THAT(tailer.WaitApplied(1, absl::InfiniteFuture()), IsOk());
}

TEST_P(LogTailerTest, WaitingForASequenceEndsAtTheDeadlineAndSaysHowFarItIs) {
  Put({{"a", "1"}});
  LogTailer tailer(&log(), &sink_, Options());
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  EXPECT_THAT(tailer.WaitApplied(1, clock_.Now()), IsOk());
  EXPECT_THAT(tailer.WaitApplied(9, clock_.Now()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("applied sequence 1 of the wanted 9")));
}

TEST_P(LogTailerTest, StoppingFreesThoseWhoWait) {
  LogTailer tailer(&log(), &sink_, Options());
  tailer.Start();
  std::thread waiter([&] {
    EXPECT_THAT(tailer.WaitApplied(1, clock_.Now() + absl::Hours(1)), StatusIs(absl::StatusCode::kCancelled));
  });
  EXPECT_TRUE(clock_.WaitForWaiters(1));
  tailer.Stop();
  waiter.join();
  // And it can go on later where it was.
  Put({{"a", "1"}});
  tailer.Start();
  EXPECT_THAT(tailer.WaitApplied(1, absl::InfiniteFuture()), IsOk());
}

TEST_P(LogTailerTest, StartAndStopNeverHang) {
  for (int i = 0; i < 30; ++i) {
    LogTailer tailer(&log(), &sink_, Options());
    tailer.Start();
  }
}

TEST_P(LogTailerTest, AFailingSinkStopsTheTailerAndItsErrorIsTheStatus) {
  Put({{"a", "1"}});
  sink_.Fail(absl::InternalError("index is full"));
  LogTailer tailer(&log(), &sink_, Options());
  tailer.Start();
  EXPECT_THAT(tailer.WaitApplied(1, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("index is full")));
  EXPECT_THAT(tailer.status(), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(tailer.applied_sequence(), 0);
  tailer.Stop();
  sink_.Fail(absl::OkStatus());
  tailer.Start();
  EXPECT_THAT(tailer.WaitApplied(1, absl::InfiniteFuture()), IsOk());
}

TEST_P(LogTailerTest, ATransientFailureIsTriedAgainAfterAPause) {
  Put({{"a", "1"}});
  sink_.Fail(absl::UnavailableError("disk is away"));
  LogTailer tailer(&log(), &sink_, Options());
  tailer.Start();
  ASSERT_TRUE(clock_.WaitForWaiters(1));
  EXPECT_THAT(tailer.status(), StatusIs(absl::StatusCode::kUnavailable));
  sink_.Fail(absl::OkStatus());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(tailer.WaitApplied(1, absl::InfiniteFuture()), IsOk());
}

TEST_P(LogTailerTest, ARebuildFromACompactedLogEndsInTheSameState) {
  for (int i = 0; i < 30; ++i) Put({{absl::StrCat("p", i % 5), absl::StrCat(i)}, {"churn", absl::StrCat(i)}});
  Delete("p4");
  ASSERT_THAT(log().Compact(address(), 61, 1 << 20, PointMerge(nullptr)), IsOk());
  ASSERT_THAT(log().PurgeTombstones(address(), 61, 1000), IsOk());
  LogTailer tailer(&log(), &sink_, Options());
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  EXPECT_THAT(sink_.points(),
              ElementsAre(Pair("churn", "29"), Pair("p0", "25"), Pair("p1", "26"), Pair("p2", "27"), Pair("p3", "28")));
  EXPECT_EQ(tailer.applied_sequence(), 61);  // the last record, a delete, is gone, yet nothing is missing
  EXPECT_EQ(sink_.resets(), 0);
}

TEST_P(LogTailerTest, ASnapshotOlderThanThePurgedDeletesIsDroppedAndRebuilt) {
  Put({{"a", "1"}, {"b", "1"}});
  LogTailer before(&log(), &sink_, Options());
  ASSERT_THAT(before.CatchUp(), IsOk());
  Delete("a");
  Put({{"c", "1"}});
  ASSERT_THAT(log().Compact(address(), 4, 1 << 20, nullptr), IsOk());
  ASSERT_THAT(log().PurgeTombstones(address(), 4, 1000), IsOk());
  LogTailer tailer(&log(), &sink_, Options(2));
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  EXPECT_EQ(sink_.resets(), 1);
  EXPECT_THAT(sink_.points(), ElementsAre(Pair("b", "1"), Pair("c", "1")));
}

TEST_P(LogTailerTest, ALogBehindTheSnapshotIsDataLoss) {
  Put({{"a", "1"}});
  LogTailer tailer(&log(), &sink_, Options(7));
  EXPECT_THAT(tailer.CatchUp(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("ends at 1")));
}

TEST_P(LogTailerTest, ARecordThatIsNotAPointIsDataLossAndNamed) {
  Put({{"a", "1"}});
  ASSERT_THAT(log().Append({id_, 1, {{0, {{store::RecordKind::kPut, "k", "\x01\x01"}}}}, ""}), IsOk());
  LogTailer tailer(&log(), &sink_, Options());
  EXPECT_THAT(tailer.CatchUp(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("sequence 2")));
  EXPECT_THAT(sink_.points(), IsEmpty());
}

TEST_P(LogTailerTest, ADroppedCollectionEndsTheTailer) {
  LogTailer tailer(&log(), &sink_, Options());
  ASSERT_THAT(tailer.CatchUp(), IsOk());
  ASSERT_THAT(store().collections().Delete("tenant", "docs"), IsOk());
  ASSERT_THAT(log().DropCollection(id_), IsOk());
  EXPECT_THAT(tailer.CatchUp(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(LogTailerTest, TheWriterSendsEachPointToItsShardInOneTransaction) {
  const int64_t wide = MakeCollection("wide", 4);
  std::vector<std::string> ids;
  std::vector<PointOperation> operations(40);
  for (int i = 0; i < 40; ++i) ids.push_back(absl::StrCat("p", i));
  for (int i = 0; i < 40; ++i) operations[i].id = ids[i];
  ALCOVE_ASSERT_OK_AND_ASSIGN(const store::AppendResult result, LogWriter(&log()).Write(wide, {4, 1}, operations));
  store::Sequence total = 0;
  for (const store::ShardSequence& s : result.shards) {
    total += s.last_sequence;
    ALCOVE_ASSERT_OK_AND_ASSIGN(const store::LogPage page, log().ReadFrom({wide, 1, s.shard}, {}, 1 << 20));
    for (const store::StoredRecord& r : page.records()) EXPECT_EQ(ShardOf(r.key, 4), s.shard);
  }
  EXPECT_EQ(total, 40);
  EXPECT_THAT(LogWriter(&log()).Write(wide, {4, 2}, operations), StatusIs(absl::StatusCode::kFailedPrecondition));
  operations[39].id = "";
  EXPECT_THAT(LogWriter(&log()).Write(wide, {4, 1}, operations), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(log().Head({wide, 1, result.shards[0].shard})->head_sequence, result.shards[0].last_sequence);
  EXPECT_THAT(LogWriter(&log()).Write(wide, {4, 1}, {})->shards, IsEmpty());
}

ALCOVE_ON_BOTH_ENGINES(LogTailerTest);

}  // namespace
}  // namespace alcove::vector_search
