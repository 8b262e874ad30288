#include "services/vector-search/shard/shard_host.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>

#include "libs/store/store.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/log/log_writer.h"
#include "services/vector-search/log/placement.h"
#include "services/vector-search/shard/operations_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;

constexpr uint32_t kDim = 4;

// A process's worth of shards on one SQLite file; Restart() is a graceful stop and a start.
class ShardHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = store::Open("sqlite:" + dir_.File("test.db"), {.durability = store::Durability::kNormal}).value();
    Start();
  }

  void Start() {
    catalog_ = std::make_unique<Catalog>(&store_->collections());
    HostOptions options;
    options.shards = {0, 1};
    options.data_dir = dir_.path();
    host_ = std::make_unique<ShardHost>(options, catalog_.get(), &store_->log());
    ALCOVE_ASSERT_OK(host_->Start());
  }

  void Restart() {
    host_->Stop();
    Lose();
  }
  // As if killed: no last snapshot.
  void Crash() {
    std::filesystem::rename(dir_.File("shards"), dir_.File("kept"));
    host_->Stop();
    std::filesystem::remove_all(dir_.File("shards"));
    std::filesystem::rename(dir_.File("kept"), dir_.File("shards"));
    Lose();
  }
  void Lose() {
    host_ = nullptr;
    catalog_ = nullptr;
    Start();
  }

  CatalogEntryPtr Create(const std::string& name, bool on_disk = false) {
    CollectionConfig config;
    config.vectors[""] = {.dimension = kDim,
                          .metric = Metric::kL2,
                          .m = 8,
                          .codes = on_disk ? Codes::kInt8 : Codes::kF32,
                          .on_disk = on_disk};
    EXPECT_THAT(store_->collections().Create("t", name, EncodeConfig(config), 2), IsOk());
    return catalog_->Find("t", name).value();
  }

  void Write(const CatalogEntry& entry, int first, int count) {
    Operations ops;
    for (int i = first; i < first + count; ++i) {
      ops.Upsert(absl::StrCat("p", i), std::vector<float>(kDim, static_cast<float>(i)));
    }
    std::vector<PointOperation> operations;
    for (const TailedOperation& t : ops.all()) operations.push_back(t.operation);
    const auto result = LogWriter(&store_->log()).Write(entry.id, entry.placement, operations);
    ASSERT_THAT(result, IsOk());
    for (const store::ShardSequence& shard : result->shards) {
      absl::Notification applied;
      host_->Find(entry.id, shard.shard)
          .value()
          ->WhenApplied(shard.last_sequence, absl::Now() + absl::Seconds(20), [&](absl::Status status) {
            EXPECT_THAT(status, IsOk());
            applied.Notify();
          });
      applied.WaitForNotification();
    }
  }

  int64_t Points(store::CollectionId id) {
    int64_t points = 0;
    for (const auto& hosted : host_->List(id)) points += hosted->Stats().points;
    return points;
  }

  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& file : std::filesystem::directory_iterator(dir_.File("shards"))) {
      names.push_back(file.path().filename().string());
    }
    return names;
  }

  const testing::TempDir dir_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<ShardHost> host_;
};

TEST_F(ShardHostTest, OpensACollectionOnFirstUseAndAppliesWhatIsWritten) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 100);
  EXPECT_EQ(Points(entry->id), 100);
  for (int i = 0; i < 100; ++i) {
    const std::string id = absl::StrCat("p", i);
    const auto hosted = host_->Find(entry->id, ShardOf(id, 2)).value();
    EXPECT_EQ(hosted->shard().Get({.ids = {id}})->size(), 1u);
  }
}

TEST_F(ShardHostTest, AGracefulStopLeavesASnapshotThatTheNextStartUses) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 50);
  Restart();
  EXPECT_EQ(Points(entry->id), 50);
  EXPECT_EQ(Files().size(), 2u);
  Write(*entry, 50, 10);
  EXPECT_EQ(Points(entry->id), 60);
}

TEST_F(ShardHostTest, VectorsOnDiskLieInFilesWithoutNamesAndComeBack) {
  const CatalogEntryPtr entry = Create("docs", /*on_disk=*/true);
  Write(*entry, 0, 500);
  const auto check = [&](int points) {
    EXPECT_EQ(Points(entry->id), points);
    int64_t on_disk = 0;
    for (const auto& hosted : host_->List(entry->id)) on_disk += hosted->Stats().disk_bytes;
    EXPECT_GE(on_disk, static_cast<int64_t>(points * kDim * sizeof(float)));
    EXPECT_TRUE(std::filesystem::is_empty(dir_.File("vectors")));
    for (int i = 0; i < points; i += 7) {
      const std::string id = absl::StrCat("p", i);
      SearchQuery query;
      query.vector.assign(kDim, static_cast<float>(i));
      query.limit = 1;
      const auto found = host_->Find(entry->id, ShardOf(id, 2)).value()->shard().Search({}, query);
      ASSERT_THAT(found, IsOk());
      ASSERT_EQ(found->size(), 1u);
      EXPECT_EQ((*found)[0].id, id);
    }
  };
  check(500);
  Restart();
  check(500);
  Write(*entry, 500, 50);
  Crash();
  check(550);
}

TEST_F(ShardHostTest, ReplaysTheTailAfterACrash) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 50);
  ALCOVE_ASSERT_OK(host_->SnapshotAll());
  Write(*entry, 30, 50);
  Crash();
  EXPECT_EQ(Points(entry->id), 80);
}

TEST_F(ShardHostTest, ADamagedSnapshotIsMovedAsideAndTheShardRebuilt) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 50);
  host_->Stop();
  for (const auto& file : std::filesystem::directory_iterator(dir_.File("shards"))) {
    std::filesystem::resize_file(file.path(), std::filesystem::file_size(file.path()) - 20);
  }
  Lose();
  EXPECT_EQ(Points(entry->id), 50);
  int aside = 0;
  for (const std::string& name : Files()) aside += absl::StrContains(name, ".damaged-");
  EXPECT_EQ(aside, 2);
}

TEST_F(ShardHostTest, RefusesToStartOnASnapshotOfANewerVersion) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 5);
  host_->Stop();
  for (const auto& file : std::filesystem::directory_iterator(dir_.File("shards"))) {
    std::fstream(file.path(), std::ios::binary | std::ios::in | std::ios::out).seekp(8).put(9);
  }
  Catalog catalog(&store_->collections());
  HostOptions options;
  options.shards = {0, 1};
  options.data_dir = dir_.path();
  ShardHost host(options, &catalog, &store_->log());
  EXPECT_THAT(host.Start(), StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("version 9")));
}

TEST_F(ShardHostTest, ASnapshotAheadOfTheLogIsNotBelieved) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 50);
  host_->Stop();
  host_ = nullptr;
  catalog_ = nullptr;
  // The store was restored from a copy taken before the last write.
  store_ = nullptr;
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(dir_.File(std::string("test.db") + suffix));
  store_ = store::Open("sqlite:" + dir_.File("test.db")).value();
  Start();
  const CatalogEntryPtr again = Create("docs");
  EXPECT_EQ(Points(again->id), 0);
  Write(*again, 0, 3);
  EXPECT_EQ(Points(again->id), 3);
}

TEST_F(ShardHostTest, LetsGoOfADroppedCollectionItsWaitersAndItsFiles) {
  const CatalogEntryPtr entry = Create("docs");
  Write(*entry, 0, 20);
  ALCOVE_ASSERT_OK(host_->SnapshotAll());
  const HostedShardPtr held = host_->Find(entry->id, 0).value();
  absl::Status waited;
  held->WhenApplied(1'000'000, absl::InfiniteFuture(), [&](absl::Status status) { waited = std::move(status); });
  ALCOVE_ASSERT_OK(store_->collections().Delete("t", "docs").status());
  ALCOVE_ASSERT_OK(catalog_->Refresh());
  EXPECT_THAT(waited, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(host_->Find(entry->id, 0).status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(Files().empty());
  // Whoever still holds it can finish.
  EXPECT_THAT(held->shard().Count({}), IsOk());
}

TEST_F(ShardHostTest, SaysWhichShardItDoesNotHold) {
  const CatalogEntryPtr entry = Create("docs");
  EXPECT_THAT(host_->Find(entry->id, 2).status(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(host_->Find(4711, 0).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShardHostTest, AWaitEndsAtItsDeadline) {
  const CatalogEntryPtr entry = Create("docs");
  absl::Notification ended;
  absl::Status status;
  host_->Find(entry->id, 0).value()->WhenApplied(99, absl::Now() + absl::Milliseconds(30), [&](absl::Status result) {
    status = std::move(result);
    ended.Notify();
  });
  ended.WaitForNotification();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace alcove::vector_search
