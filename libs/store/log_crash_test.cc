// Several processes append to one SQLite file and are killed with no warning. Whatever was acknowledged must be there
// afterwards, whole, in order and without holes.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "libs/store/collection_store.h"
#include "libs/store/log_store.h"
#include "libs/store/store.h"
#include "libs/testing/temp_dir.h"

namespace alcove::store {
namespace {

constexpr int kWriters = 2;
constexpr int kShards = 2;

// How many batches each writer was told are committed; shared memory outlives the writers.
struct Acknowledged {
  std::atomic<int64_t> batches[kWriters];
};

class LogCrashTest : public ::testing::Test {
 protected:
  LogCrashTest()
      : acknowledged_(static_cast<Acknowledged*>(
            ::mmap(nullptr, sizeof(Acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~LogCrashTest() override { ::munmap(acknowledged_, sizeof(Acknowledged)); }

  std::string url() const { return absl::StrCat("sqlite:", folder_.File("alcove.db")); }

  // Batch `number` of `writer`: two records in one shard, one in the other. The key tells who wrote it and when.
  static AppendRequest MakeBatch(CollectionId id, int writer, int64_t number, std::vector<std::string>* keys,
                                 const std::string& data) {
    const int32_t first = static_cast<int32_t>(number % kShards);
    for (const char* part : {"a", "b", "c"}) keys->push_back(absl::StrCat(writer, ":", number, ":", part));
    return {id,
            1,
            {{first, {{RecordKind::kPut, (*keys)[0], data}, {RecordKind::kPut, (*keys)[1], data}}},
             {1 - first, {{RecordKind::kPut, (*keys)[2], data}}}},
            // Without the key a batch whose acknowledgement was cut off would be stored twice.
            absl::StrCat("w", writer, "-", number)};
  }

  [[noreturn]] static void Fail(const absl::Status& status) {
    std::fprintf(stderr, "child: %s\n", status.ToString().c_str());
    ::_exit(1);
  }

  // Runs in a child until it is killed.
  [[noreturn]] void Write(int writer, CollectionId id) {
    absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
    if (!store.ok()) Fail(store.status());
    while (true) {
      const int64_t number = acknowledged_->batches[writer].load();
      std::vector<std::string> keys;
      // The same batch must have the same content when it is sent again.
      const std::string data(static_cast<size_t>(number * 7919 % 20'000), 'x');
      const absl::StatusOr<AppendResult> result = (*store)->log().Append(MakeBatch(id, writer, number, &keys, data));
      if (!result.ok()) Fail(result.status());
      acknowledged_->batches[writer].store(number + 1);
    }
  }

  // Moves parts of the log into the base, for the kill to land there as well.
  [[noreturn]] void Compact(CollectionId id) {
    absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
    if (!store.ok()) Fail(store.status());
    while (true) {
      for (int32_t shard = 0; shard < kShards; ++shard) {
        const absl::StatusOr<ShardHead> head = (*store)->log().Head({id, 1, shard});
        if (!head.ok()) Fail(head.status());
        const Sequence half = (head->base_sequence + head->head_sequence) / 2;
        const absl::StatusOr<CompactResult> result = (*store)->log().Compact({id, 1, shard}, half, 1 << 16, nullptr);
        if (!result.ok()) Fail(result.status());
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
  }

  void RunRounds(int rounds) {
    CollectionId id = 0;
    {
      absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
      ASSERT_TRUE(store.ok()) << store.status();
      id = (*store)->collections().Create("t", "docs", "", kShards)->id;
    }
    std::mt19937 rng(11);
    for (int round = 0; round < rounds; ++round) {
      int64_t before = 0;
      for (const auto& batches : acknowledged_->batches) before += batches.load();
      std::vector<pid_t> children;
      for (int writer = 0; writer < kWriters; ++writer) {
        children.push_back(::fork());
        if (children.back() == 0) Write(writer, id);
      }
      children.push_back(::fork());
      if (children.back() == 0) Compact(id);
      // Kill after a random time, but not before the round has committed something.
      absl::SleepFor(absl::Microseconds(rng() % 30'000));
      const absl::Time give_up = absl::Now() + absl::Seconds(20);
      for (int64_t now = before; now == before && absl::Now() < give_up;) {
        absl::SleepFor(absl::Milliseconds(1));
        now = 0;
        for (const auto& batches : acknowledged_->batches) now += batches.load();
      }
      std::shuffle(children.begin(), children.end(), rng);
      for (const pid_t child : children) ::kill(child, SIGKILL);
      for (const pid_t child : children) {
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "a child ended by itself with " << WEXITSTATUS(status);
      }
      if (round % 10 == 9 || round == rounds - 1) Check(id);
      if (HasFatalFailure()) return;
    }
    for (const auto& batches : acknowledged_->batches) EXPECT_GT(batches.load(), 0);
  }

  void Check(CollectionId id) {
    absl::StatusOr<std::unique_ptr<Store>> store = Open(url());
    ASSERT_TRUE(store.ok()) << store.status();
    std::map<std::string, int> seen;  // "writer:batch" -> records found
    for (int32_t shard = 0; shard < kShards; ++shard) {
      ReadPosition position;
      std::vector<int64_t> last_batch(kWriters, -1);
      bool at_end = false;
      while (!at_end) {
        absl::StatusOr<LogPage> page = (*store)->log().ReadFrom({id, 1, shard}, position, 1 << 20);
        ASSERT_TRUE(page.ok()) << page.status();
        for (const StoredRecord& r : page->records()) {
          // Every key is written once: nothing is ever redundant, so compaction leaves no holes either.
          ASSERT_EQ(r.sequence, position.after_sequence + 1);
          position.after_sequence = r.sequence;
          const std::vector<std::string> parts = absl::StrSplit(r.key, ':');
          int writer = 0;
          int64_t batch = 0;
          ASSERT_TRUE(absl::SimpleAtoi(parts[0], &writer) && absl::SimpleAtoi(parts[1], &batch));
          ASSERT_GE(batch, last_batch[writer]) << "a writer's batches are out of order";
          last_batch[writer] = batch;
          ++seen[absl::StrCat(writer, ":", batch)];
        }
        at_end = page->at_end();
      }
    }
    for (int writer = 0; writer < kWriters; ++writer) {
      const int64_t acknowledged = acknowledged_->batches[writer].load();
      for (int64_t batch = 0; batch < acknowledged; ++batch) {
        ASSERT_EQ(seen[absl::StrCat(writer, ":", batch)], 3) << "acknowledged batch " << writer << ":" << batch;
      }
      // At most the one batch under way when the writer died may follow, and then whole.
      EXPECT_TRUE(seen[absl::StrCat(writer, ":", acknowledged)] == 0 ||
                  seen[absl::StrCat(writer, ":", acknowledged)] == 3);
      EXPECT_EQ(seen.count(absl::StrCat(writer, ":", acknowledged + 1)), 0u);
    }
  }

  testing::TempDir folder_;
  Acknowledged* const acknowledged_;
};

class LogCrashSlowTest : public LogCrashTest {};

#ifdef ALCOVE_SLOW_TEST
TEST_F(LogCrashSlowTest, KillingWritersAThousandTimesLosesNothingAcknowledged) { RunRounds(1000); }
#else
TEST_F(LogCrashTest, KillingWritersFiftyTimesLosesNothingAcknowledged) { RunRounds(50); }
#endif

}  // namespace
}  // namespace alcove::store
