// What is restored equals what was backed up, on either engine and from one to the other.

#include "libs/store/backup_store.h"

#include <atomic>
#include <fstream>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "libs/common/fs.h"
#include "libs/store/audit_store.h"
#include "libs/store/collection_store.h"
#include "libs/store/key_store.h"
#include "libs/store/log_store.h"
#include "libs/store/testing/store_fixture.h"
#include "libs/testing/status_matchers.h"

namespace alcove::store {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using State = std::map<std::string, std::string>;

class BackupStoreTest : public StoreTest {
 protected:
  // A new database of the other engine, so that every test also crosses over.
  std::unique_ptr<Store> Other() {
    const std::string url = GetParam() == Engine::kPostgres ? absl::StrCat("sqlite:", folder_.File("other.db"))
                                                            : *SharedPostgres()->NewDatabase();
    auto opened = Open(url);
    EXPECT_THAT(opened, IsOk());
    return *std::move(opened);
  }
  void Put(CollectionId id, int64_t epoch, int32_t shard, RecordKind kind, const std::string& key,
           const std::string& data) {
    ASSERT_THAT(store().log().Append({id, epoch, {{shard, {{kind, key, data}}}}, ""}), IsOk());
  }
  static State Rebuild(Store& store, const Collection& collection) {
    State state;
    for (int32_t shard = 0; shard < collection.placement.shard_count; ++shard) {
      ReadPosition position;
      bool at_end = false;
      while (!at_end) {
        auto page = store.log().ReadFrom({collection.id, collection.placement.epoch, shard}, position, 100);
        EXPECT_THAT(page, IsOk());
        if (!page.ok()) return state;
        if (position.after_sequence == 0) position.tombstone_floor = page->head().tombstone_floor;
        for (const StoredRecord& r : page->records()) {
          if (r.kind == RecordKind::kDelete) {
            state.erase(std::string(r.key));
          } else {
            state[std::string(r.key)] = absl::StrCat(r.sequence, "=", r.data);
          }
          position.after_sequence = r.sequence;
        }
        at_end = page->at_end();
      }
    }
    return state;
  }
  // Written, overwritten, deleted, partly compacted.
  Collection MakeDocs(absl::string_view name) {
    const Collection docs = *store().collections().Create("acme", name, "settings", 2);
    for (int i = 0; i < 50; ++i) {
      Put(docs.id, 1, i % 2, RecordKind::kPut, absl::StrCat("k", i % 20), std::string(100 + i, 'x'));
      if (i % 7 == 0) Put(docs.id, 1, i % 2, RecordKind::kDelete, absl::StrCat("k", i % 20), "");
    }
    EXPECT_THAT(store().log().Compact({docs.id, 1, 0}, 17, 1 << 20, nullptr), IsOk());
    EXPECT_THAT(store().log().Compact({docs.id, 1, 1}, 1000, 1 << 20, nullptr), IsOk());
    return docs;
  }
  const std::string file_ = folder_.File("store.backup");
};

TEST_P(BackupStoreTest, AWholeStoreComesBackInANewOneOfTheOtherEngine) {
  const Collection docs = MakeDocs("docs");
  const Collection more = MakeDocs("more");
  MakeCollection("empty", 3);
  ASSERT_THAT(store().collections().SetAlias("acme", "live", "more"), IsOk());
  ASSERT_THAT(store().keys().CreateTenant("acme", "Acme"), IsOk());
  ASSERT_THAT(store().keys().CreateKey(
                  {.id = "k1", .tenant = "acme", .name = "n", .hash = std::string(32, '\1'), .scopes = {"read"}}),
              IsOk());
  ASSERT_THAT(
      store().audit().Append({.tenant = "acme", .actor = "me", .action = "a", .resource = "r", .outcome = "ok"}),
      IsOk());
  double fraction = 0;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const BackupSummary written,
                              store().backups().Write(file_, {.progress = [&](const BackupProgress& p) {
                                                        fraction = p.fraction;
                                                        return absl::OkStatus();
                                                      }}));
  EXPECT_EQ(written.collections, 3);
  EXPECT_EQ(written.rows, 4);
  EXPECT_GT(fraction, 0.9);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const BackupSummary checked, BackupStore::Verify(file_));
  EXPECT_EQ(checked.records, written.records);
  EXPECT_EQ(checked.bytes, written.bytes);

  std::unique_ptr<Store> other = Other();
  ASSERT_THAT(other->backups().Restore(file_), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const Collection restored, other->collections().Get("acme", "docs"));
  EXPECT_EQ(restored.config, "settings");
  EXPECT_EQ(restored.created_at, docs.created_at);
  EXPECT_EQ(Rebuild(*other, restored), Rebuild(store(), docs));
  EXPECT_EQ(Rebuild(*other, *other->collections().Get("acme", "more")), Rebuild(store(), more));
  EXPECT_EQ(other->collections().Get("tenant", "empty")->placement.shard_count, 3);
  for (int32_t shard = 0; shard < 2; ++shard) {
    const ShardHead before = *store().log().Head({docs.id, 1, shard});
    const ShardHead after = *other->log().Head({restored.id, 1, shard});
    EXPECT_EQ(after.head_sequence, before.head_sequence);
    EXPECT_EQ(after.base_sequence, before.base_sequence);
  }
  EXPECT_THAT(other->collections().ListAliases("acme")->aliases,
              ElementsAre(Alias{"live", other->collections().Get("acme", "more")->id, "more"}));
  EXPECT_EQ(other->keys().FindByHash(std::string(32, '\1'))->id, "k1");
  EXPECT_EQ(other->audit().List("acme")->events.size(), 1u);
  // The restored log is written on, and the old one as well.
  EXPECT_EQ(other->log().Append({restored.id, 1, {{0, {{RecordKind::kPut, "new", "x"}}}}, ""})->shards[0].last_sequence,
            store().log().Head({docs.id, 1, 0})->head_sequence + 1);
  // A second time it would mix two stores.
  EXPECT_THAT(other->backups().Restore(file_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not empty")));
}

TEST_P(BackupStoreTest, OneCollectionIsRestoredBesideOthersUnderAnyName) {
  const Collection docs = MakeDocs("docs");
  ASSERT_THAT(store().backups().Write(file_, {.collection = std::pair("acme", "docs")}), IsOk());
  EXPECT_THAT(store().backups().Write(file_, {.collection = std::pair("acme", "absent")}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().backups().Restore(file_), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_THAT(store().backups().Restore(file_, {.as_name = "copy"}), IsOk());
  EXPECT_EQ(Rebuild(store(), *store().collections().Get("acme", "copy")), Rebuild(store(), docs));
  ASSERT_THAT(store().backups().Restore(file_, {.as_tenant = "other"}), IsOk());
  EXPECT_THAT(store().collections().Get("other", "docs"), IsOk());
}

TEST_P(BackupStoreTest, ATenantsCollectionsComeBackTogetherWithTheirAliases) {
  const Collection docs = MakeDocs("docs");
  MakeDocs("more");
  MakeCollection("of-another-tenant", 1);
  ASSERT_THAT(store().collections().SetAlias("acme", "live", "docs"), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const BackupSummary written,
                              store().backups().Write(file_, {.collection = std::pair("acme", "")}));
  EXPECT_EQ(written.scope, BackupScope::kTenant);
  EXPECT_EQ(written.collections, 2);
  EXPECT_EQ(written.rows, 1);
  EXPECT_THAT(store().backups().Restore(file_), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(store().backups().Restore(file_, {.as_name = "copy"}), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(store().backups().Restore(file_, {.as_tenant = "twin"}), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const Collection twin, store().collections().Get("twin", "docs"));
  EXPECT_EQ(Rebuild(store(), twin), Rebuild(store(), docs));
  EXPECT_THAT(store().collections().ListAliases("twin")->aliases, ElementsAre(Alias{"live", twin.id, "docs"}));
  EXPECT_EQ(store().collections().ListAliases("acme")->aliases.size(), 1u);

  // A name taken by anybody of the tenant leaves everything as it was.
  ASSERT_THAT(store().collections().DeleteAlias("twin", "live"), IsOk());
  ASSERT_THAT(store().collections().Delete("twin", "docs"), IsOk());
  ASSERT_THAT(store().collections().SetAlias("twin", "docs", "more"), IsOk());
  EXPECT_THAT(store().backups().Restore(file_, {.as_tenant = "twin"}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(store().collections().Get("twin", "docs"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(BackupStoreTest, AnObserverEndsAnythingAndLeavesNothingBehind) {
  MakeDocs("docs");
  const auto stop = [](const BackupProgress&) { return absl::CancelledError("enough"); };
  EXPECT_THAT(store().backups().Write(file_, {.progress = stop}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(BackupStore::Verify(file_), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(store().backups().Write(file_, {.collection = std::pair("acme", "docs")}), IsOk());
  EXPECT_THAT(store().backups().Restore(file_, {.as_name = "copy", .progress = stop}),
              StatusIs(absl::StatusCode::kCancelled));
  double last = 0;
  const auto late = [&](const BackupProgress& at) {
    EXPECT_GE(at.fraction, last);
    last = at.fraction;
    return at.fraction > 0.5 ? absl::CancelledError("enough") : absl::OkStatus();
  };
  EXPECT_THAT(store().backups().Restore(file_, {.as_name = "copy", .progress = late}),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_GT(last, 0.5);
  EXPECT_THAT(store().collections().Get("acme", "copy"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().backups().Restore(file_, {.as_name = "copy"}), IsOk());
}

TEST_P(BackupStoreTest, HoldsTheStateOfOneMomentWhileEverythingGoesOn) {
  const Collection docs = *store().collections().Create("acme", "docs", "", 2);
  // Each batch writes the same number to both shards: a backup that has one has the other.
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    std::unique_ptr<Store> own = OpenAgain();
    for (int i = 1; !stop; ++i) {
      const std::string value = absl::StrCat(i);
      ASSERT_THAT(
          own->log().Append({docs.id,
                             1,
                             {{0, {{RecordKind::kPut, "n", value}, {RecordKind::kPut, absl::StrCat("k", i), "x"}}},
                              {1, {{RecordKind::kPut, "n", value}, {RecordKind::kPut, absl::StrCat("k", i), "x"}}}},
                             ""}),
          IsOk());
    }
  });
  std::thread compactor([&] {
    std::unique_ptr<Store> own = OpenAgain();
    while (!stop) {
      for (int32_t shard = 0; shard < 2; ++shard) {
        ASSERT_THAT(own->log().Compact({docs.id, 1, shard}, 1'000'000, 1 << 20, nullptr), IsOk());
      }
    }
  });
  for (int round = 0; round < 5; ++round) {
    while (store().log().Head({docs.id, 1, 0})->head_sequence < (round + 1) * 40) {
    }
    ASSERT_THAT(store().backups().Write(file_, {.collection = std::pair("acme", "docs")}), IsOk());
    ASSERT_THAT(store().backups().Restore(file_, {.as_name = absl::StrCat("copy", round)}), IsOk());
    const Collection copy = *store().collections().Get("acme", absl::StrCat("copy", round));
    std::string values[2];
    for (int32_t shard = 0; shard < 2; ++shard) {
      Collection one = copy;
      one.placement.shard_count = 1;
      ReadPosition position;
      bool at_end = false;
      while (!at_end) {
        ALCOVE_ASSERT_OK_AND_ASSIGN(const LogPage page, store().log().ReadFrom({copy.id, 1, shard}, position, 1 << 20));
        for (const StoredRecord& r : page.records()) {
          position.after_sequence = r.sequence;
          if (r.key == "n") values[shard] = std::string(r.data);
        }
        at_end = page.at_end();
      }
    }
    EXPECT_EQ(values[0], values[1]);
    EXPECT_NE(values[0], "");
  }
  stop = true;
  writer.join();
  compactor.join();
  // Without a backup under way the log is compacted again.
  ASSERT_THAT(store().log().Compact({docs.id, 1, 0}, 1'000'000, 1 << 30, nullptr), IsOk());
  EXPECT_EQ(store().log().Head({docs.id, 1, 0})->base_sequence, store().log().Head({docs.id, 1, 0})->head_sequence);
}

TEST_P(BackupStoreTest, DamageIsFoundBeforeAnythingIsRestored) {
  MakeDocs("docs");
  ASSERT_THAT(store().backups().Write(file_), IsOk());
  const std::string good = *ReadFile(file_, 1 << 20);
  std::unique_ptr<Store> other = Other();
  const auto restore = [&](const std::string& bytes) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
    return other->backups().Restore(file_).status();
  };
  for (size_t size = 0; size < good.size(); size += 1 + good.size() / 40) {
    EXPECT_THAT(restore(good.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 40) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
    EXPECT_THAT(restore(bad), ::testing::AnyOf(StatusIs(absl::StatusCode::kDataLoss),
                                               StatusIs(absl::StatusCode::kFailedPrecondition)))
        << at;
  }
  std::string newer = good;
  newer[8] = 9;
  EXPECT_THAT(restore(newer), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("version 9")));
  EXPECT_THAT(restore(good + "x"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_TRUE(other->collections().ListAll()->collections.empty());
  EXPECT_THAT(restore(good), IsOk());
}

TEST_P(BackupStoreTest, LeavesNoFileWhenItCannotBeWritten) {
  MakeDocs("docs");
  EXPECT_THAT(store().backups().Write(folder_.File("no/such/folder")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().backups().Write("/dev/full/x").status().code(), ::testing::Ne(absl::StatusCode::kOk));
}

ALCOVE_ON_BOTH_ENGINES(BackupStoreTest);

}  // namespace
}  // namespace alcove::store
