#include "services/fhe-proxy/database/collections.h"

#include <cmath>
#include <filesystem>
#include <random>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/testing/fake_clock.h"
#include "libs/testing/temp_dir.h"
#include "services/fhe-proxy/database/fake_source_for_test.h"

namespace alcove::fhe_proxy {
namespace {

RequestContext As(const std::string& tenant, absl::Duration timeout = absl::Seconds(30)) {
  RequestContext::Identity identity;
  identity.tenant = tenant;
  return RequestContext(identity).WithTimeout(timeout);
}

class CollectionsTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void Start() {
    collections_.reset();
    options_.folder = folder_.File("db");
    collections_ = Collections::Open(options_, &source_, &pool_, &clock_).value();
  }
  std::vector<float> Unit(uint32_t dimension) {
    std::normal_distribution<float> normal;
    std::vector<float> v(dimension);
    double energy = 0;
    for (float& x : v) {
      x = normal(rng_);
      energy += static_cast<double>(x) * static_cast<double>(x);
    }
    for (float& x : v) x = static_cast<float>(static_cast<double>(x) / std::sqrt(energy));
    return v;
  }
  CollectionName Name(const std::string& collection) { return {collection, "", &OfferedSets()[0]}; }
  std::string Reason(const absl::Status& status) { return GetErrorDetails(status).reason; }

  testing::TempDir folder_;
  testing::FakeClock clock_;
  TaskPool pool_{1};
  FakeSource source_;
  std::mt19937 rng_{5};
  Collections::Options options_;
  std::unique_ptr<Collections> collections_;
};

TEST_F(CollectionsTest, EncodesACollectionOnceAndFollowsIt) {
  auto& docs = source_.Make("acme", "docs", 16, 2);
  for (int i = 0; i < 500; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(16), static_cast<uint32_t>(i % 2));
  const auto first = collections_->Current(As("acme"), Name("docs"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->rows, 500u);
  EXPECT_EQ((*first)->info.heads, (std::vector<int64_t>{250, 250}));
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs"))->get(), first->get()) << "nothing changed";
  source_.Put(docs, "new", Unit(16));
  source_.Remove(docs, "p1", 1);
  const auto second = collections_->Current(As("acme"), Name("docs"));
  ASSERT_TRUE(second.ok());
  EXPECT_NE((*second)->sequence, (*first)->sequence);
  EXPECT_EQ((*second)->rows, 500u);
  const auto& ids = *(*second)->ids[0];
  EXPECT_THAT(ids, ::testing::Contains("new"));
  EXPECT_THAT(ids, ::testing::Not(::testing::Contains("p1")));
  EXPECT_EQ(collections_->stats().builds, 1u);
  EXPECT_EQ(collections_->stats().updates, 1u) << "both shards in one go";
}

TEST_F(CollectionsTest, OnlyTheBlocksThatChangedAreEncodedAgain) {
  auto& docs = source_.Make("acme", "docs", 8);
  for (int i = 0; i < 9000; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(8));
  source_.page_size = 5000;
  const auto first = collections_->Current(As("acme"), Name("docs")).value();
  ASSERT_EQ(first->blocks(), 3u);
  source_.Put(docs, "p5000", Unit(8));
  const auto second = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_EQ(second->database->blocks[0], first->database->blocks[0]);
  EXPECT_NE(second->database->blocks[1], first->database->blocks[1]);
  EXPECT_EQ(second->database->blocks[2], first->database->blocks[2]);
  EXPECT_EQ(second->ids[2], first->ids[2]);
  EXPECT_EQ((*second->ids[1])[5000 - 4096], "p5000");
  // The last row takes the place of one that goes; the block of neither place is another's.
  source_.Remove(docs, "p10");
  const auto third = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_EQ((*third->ids[0])[10], "p8999");
  EXPECT_EQ(third->ids[2]->size(), 9000u - 1 - 2 * 4096);
  EXPECT_EQ(third->database->blocks[1], second->database->blocks[1]);
  EXPECT_NE(third->database->blocks[0], second->database->blocks[0]);
  EXPECT_NE(third->database->blocks[2], second->database->blocks[2]);
  EXPECT_EQ((*second->ids[0])[10], "p10") << "a version in use does not change";
}

TEST_F(CollectionsTest, ACollectionThatOutgrowsItsLayoutIsPackedAgainWithoutItsLog) {
  auto& docs = source_.Make("acme", "docs", 64);
  std::vector<float> axis(64);  // the largest number there can be: the scale never changes
  axis[0] = 1;
  source_.Put(docs, "p0", axis);
  for (int i = 1; i < 200; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(64));
  const auto small = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_GT(small->layout().fold(), 1u);
  for (int i = 200; i < 3000; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(64));
  source_.page_size = 5000;
  const int pages = source_.pages();
  const auto large = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_EQ(source_.pages(), pages + 1);
  EXPECT_EQ(large->layout().fold(), 1u);
  EXPECT_EQ(large->rows, 3000u);
  EXPECT_EQ((*large->ids[0])[2999], "p2999");
  EXPECT_EQ(collections_->stats().builds, 1u);
  EXPECT_GT(collections_->stats().memory_bytes, large->MemoryBytes());
}

TEST_F(CollectionsTest, ALargeCollectionIsCutIntoClustersAndComesBackFromItsSnapshot) {
  options_.cluster_rows = 100;
  Start();
  auto& docs = source_.Make("acme", "docs", 16);
  source_.page_size = 5000;
  for (int i = 0; i < 399; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(16));
  const auto small = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_EQ(small->clusters, nullptr);
  source_.Put(docs, "one more", Unit(16));
  docs.documents["one more"] = "a text";
  const auto check = [&](const EncodedCollection& current, size_t rows) {
    EXPECT_EQ(current.rows, rows);
    ASSERT_NE(current.clusters, nullptr);
    ASSERT_EQ(current.cluster_blocks.size(), 4u);
    size_t listed = 0;
    for (const auto& blocks : current.cluster_blocks) {
      for (const uint32_t block : blocks) listed += current.ids[block]->size();
    }
    EXPECT_EQ(listed, rows);
  };
  const auto large = collections_->Current(As("acme"), Name("docs")).value();
  check(*large, 400);
  EXPECT_GE(large->database->rows, large->rows);
  const auto records = collections_->Records(As("acme"), Name("docs"), *large, RecordKind::kDocument);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ((*records)->layout.records(), large->database->rows) << "records are numbered like rows";
  EXPECT_EQ(source_.documents_asked(), 400u) << "empty rows have no documents";
  source_.Remove(docs, "p7");
  const auto before = collections_->Current(As("acme"), Name("docs")).value();
  check(*before, 399);
  Start();
  const int pages = source_.pages();
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->rows, 399u);
  source_.Put(docs, "back", Unit(16));
  const auto after = collections_->Current(As("acme"), Name("docs")).value();
  check(*after, 400);
  EXPECT_EQ(source_.pages(), pages + 1);
  for (size_t c = 0; c < 4; ++c) {
    EXPECT_EQ(after->clusters->centroid(c), before->clusters->centroid(c)) << "clients choose decoys by it";
  }
}

TEST_F(CollectionsTest, ARowsFileThatCannotHaveBeenWrittenHereIsReadAgainFromTheLog) {
  auto& docs = source_.Make("acme", "docs", 4);
  source_.Put(docs, "a", Unit(4));
  ASSERT_TRUE(collections_->Current(As("acme"), Name("docs")).ok());
  collections_.reset();
  const std::string path = std::filesystem::directory_iterator(options_.folder)->path();
  const std::string bytes = ReadFile(path, 1 << 20).value();
  RowSnapshot longer = DecodeRowSnapshot(bytes).value();
  const std::vector<int8_t> row(1000, 127);  // squares beyond what keeps replies sound
  longer.info.dimension = 1000;
  longer.rows[0].numbers = row;
  ASSERT_TRUE(WriteFileAtomically(path, EncodeRowSnapshot(longer), 0600).ok());
  Start();
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->rows, 1u);
  EXPECT_EQ(collections_->stats().restored, 0u);
  EXPECT_EQ(collections_->stats().builds, 1u);
}

TEST_F(CollectionsTest, ARestartReadsTheSnapshotAndOnlyTheChangesSince) {
  auto& docs = source_.Make("acme", "docs", 16);
  for (int i = 0; i < 500; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(16));
  const std::string sequence = collections_->Current(As("acme"), Name("docs")).value()->sequence;
  Start();
  const int pages = source_.pages();
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->sequence, sequence);
  EXPECT_EQ(source_.pages(), pages);
  EXPECT_EQ(collections_->stats().restored, 1u);
  EXPECT_EQ(collections_->stats().builds, 0u);
  source_.Put(docs, "new", Unit(16));
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->rows, 501u);
  Start();  // the stop wrote what the first snapshot lacked
  const int after = source_.pages();
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->rows, 501u);
  EXPECT_EQ(source_.pages(), after);
}

TEST_F(CollectionsTest, ACompactedLogOrAnotherCollectionOfTheNameIsReadFromTheStart) {
  auto& docs = source_.Make("acme", "docs", 4);
  for (int i = 0; i < 10; ++i) source_.Put(docs, absl::StrCat("p", i), Unit(4));
  ASSERT_TRUE(collections_->Current(As("acme"), Name("docs")).ok());
  source_.Put(docs, "more", Unit(4));
  docs.floors[0] = 11;  // deletes this copy has not seen may be gone
  const auto rebuilt = collections_->Current(As("acme"), Name("docs"));
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ((*rebuilt)->rows, 11u);
  EXPECT_EQ(collections_->stats().builds, 2u);
  auto& again = source_.Make("acme", "docs", 4);
  source_.Put(again, "only", Unit(4));
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).value()->rows, 1u);
}

TEST_F(CollectionsTest, TheScaleFitsTheLargestNumberAndIsChosenAgainWhenOneGrows) {
  auto& docs = source_.Make("acme", "docs", 4);
  source_.Put(docs, "even", {1, 1, 1, 1});  // numbers of 0.5 do not fit eight bits at the finest scale
  const auto first = collections_->Current(As("acme"), Name("docs"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_LT((*first)->row_scale, 254);
  EXPECT_GT((*first)->row_scale, 240);
  source_.Put(docs, "axis", {0, 1, 0, 0});
  const auto second = collections_->Current(As("acme"), Name("docs"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_LT((*second)->row_scale, 127.1);
  EXPECT_EQ((*second)->rows, 2u);
  // Every score of a query of the offered scale stays within t / 2.
  EXPECT_LT((*second)->query_scale * (*second)->max_row_norm, 417793 / 2);

  auto& dots = source_.Make("acme", "dots", 8, 1, Metric::kDot);
  source_.Put(dots, "long", std::vector<float>(8, 1000));
  source_.Put(dots, "short", std::vector<float>(8, 1));
  const auto scaled = collections_->Current(As("acme"), Name("dots"));
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_NEAR((*scaled)->row_scale, 0.123, 0.005);
  source_.Put(dots, "longer", std::vector<float>(8, 3000));
  EXPECT_NEAR(collections_->Current(As("acme"), Name("dots")).value()->row_scale, 0.041, 0.002);
}

TEST_F(CollectionsTest, TenantsNeverMeet) {
  auto& mine = source_.Make("acme", "docs", 4);
  source_.Put(mine, "mine", Unit(4));
  ASSERT_TRUE(collections_->Current(As("acme"), Name("docs")).ok());
  EXPECT_EQ(collections_->Current(As("rival"), Name("docs")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(collections_->Loaded(As("rival"), Name("docs")), nullptr);
  auto& theirs = source_.Make("rival", "docs", 4);
  source_.Put(theirs, "theirs", Unit(4));
  EXPECT_THAT(*collections_->Current(As("rival"), Name("docs")).value()->ids[0], ::testing::ElementsAre("theirs"));
}

TEST_F(CollectionsTest, TheLeastUsedCopyIsPutAwayForAnother) {
  options_.max_memory_bytes = 3'000'000;
  Start();
  for (const char* name : {"a", "b", "c"}) {
    auto& made = source_.Make("acme", name, 64);
    for (int i = 0; i < 4096; ++i) source_.Put(made, absl::StrCat("p", i), Unit(64));
  }
  source_.page_size = 5000;
  for (const char* name : {"a", "b"}) {
    clock_.Advance(absl::Seconds(1));
    const auto current = collections_->Current(As("acme"), Name(name));
    ASSERT_TRUE(current.ok()) << current.status();
    EXPECT_LE(collections_->stats().memory_bytes, options_.max_memory_bytes);
  }
  EXPECT_EQ(collections_->stats().evictions, 1u);
  EXPECT_EQ(collections_->Loaded(As("acme"), Name("a")), nullptr);
  // Back from its snapshot, not from the log.
  const int pages = source_.pages();
  EXPECT_TRUE(collections_->Current(As("acme"), Name("a")).ok());
  EXPECT_EQ(source_.pages(), pages);

  options_.max_memory_bytes = 1'000'000;
  Start();
  const auto too_large = collections_->Current(As("acme"), Name("c"));
  EXPECT_EQ(too_large.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Reason(too_large.status()), "COLLECTION_TOO_LARGE");
}

TEST_F(CollectionsTest, NamesWhatItCannotDo) {
  source_.Make("acme", "far", 4, 1, Metric::kL2);
  EXPECT_EQ(Reason(collections_->Current(As("acme"), Name("far")).status()), "METRIC_NOT_SUPPORTED");
  source_.Make("acme", "wide", 4096);
  EXPECT_EQ(Reason(collections_->Current(As("acme"), Name("wide")).status()), "DIMENSION_NOT_SUPPORTED");
  source_.Make("acme", "empty", 4);
  const auto empty = collections_->Current(As("acme"), Name("empty"));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ((*empty)->rows, 0u);
  EXPECT_EQ(Reason(collections_->Records(As("acme"), Name("empty"), **empty, RecordKind::kDocument).status()),
            "COLLECTION_EMPTY");
}

TEST_F(CollectionsTest, AFailureReachesTheCallerAndIsForgottenWhenItIsOver) {
  auto& docs = source_.Make("acme", "docs", 4);
  source_.Put(docs, "a", Unit(4));
  source_.FailWith(absl::UnavailableError("no vector-search"));
  EXPECT_EQ(collections_->Current(As("acme"), Name("docs")).status().code(), absl::StatusCode::kUnavailable);
  source_.FailWith(absl::OkStatus());
  EXPECT_TRUE(collections_->Current(As("acme"), Name("docs")).ok());
}

TEST_F(CollectionsTest, ACallerThatCannotWaitIsToldSo) {
  auto& docs = source_.Make("acme", "docs", 4);
  source_.Put(docs, "a", Unit(4));
  CancellationSource gone;
  gone.Cancel();
  const auto result = collections_->Current(As("acme").WithCancellation(gone.token()), Name("docs"));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Reason(result.status()), "COLLECTION_BEING_ENCODED");
}

TEST_F(CollectionsTest, DocumentsAreFetchedOnceAndAgainWhenTheyChange) {
  auto& docs = source_.Make("acme", "docs", 4);
  for (int i = 0; i < 30; ++i) {
    source_.Put(docs, absl::StrCat("p", i), Unit(4));
    docs.documents[absl::StrCat("p", i)] = absl::StrCat("text of ", i);
  }
  const auto current = collections_->Current(As("acme"), Name("docs")).value();
  const auto records = collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kDocument);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ((*records)->layout.records(), 30u);
  EXPECT_EQ((*records)->layout.record_bytes(), 16u);
  EXPECT_EQ(source_.documents_asked(), 30u);
  EXPECT_EQ(collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kDocument)->get(), records->get());
  docs.documents["p3"] = "a longer text than all the others";
  source_.Append(docs, 0, {"p3", false, true, {}});
  const auto later = collections_->Current(As("acme"), Name("docs")).value();
  EXPECT_EQ(later->database->blocks[0], current->database->blocks[0]) << "no vector changed";
  const auto again = collections_->Records(As("acme"), Name("docs"), *later, RecordKind::kDocument);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(source_.documents_asked(), 31u);
  EXPECT_EQ((*again)->layout.record_bytes(), 48u);
  EXPECT_EQ(Reason(collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kDocument).status()),
            "COLLECTION_CHANGED");
}

TEST_F(CollectionsTest, VectorsAreRecordsTooAndFinerThanTheRows) {
  auto& docs = source_.Make("acme", "docs", 4);
  source_.Put(docs, "a", {0.5f, -0.25f, 0.125f, 0.3f});
  const auto current = collections_->Current(As("acme"), Name("docs")).value();
  const auto records = collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kVector);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ((*records)->layout.record_bytes(), 16u);
  const auto documents = collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kDocument);
  ASSERT_TRUE(documents.ok());
  EXPECT_NE(documents->get(), records->get());
  EXPECT_EQ(collections_->Records(As("acme"), Name("docs"), *current, RecordKind::kVector)->get(), records->get());
}

}  // namespace
}  // namespace alcove::fhe_proxy
