// Resharding real processes under load, killed in the middle, on both engines.
#include <algorithm>
#include <set>

#include "libs/testing/postgres_fixture.h"
#include "services/vector-search/cluster_for_test.h"
#include "services/vector-search/load_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kPoints = 4000;

// Three processes; shard 2 is there before any collection uses it. Each shard has two replicas, so that one process can
// be killed without a failed search.
ClusterOptions ThreeShards(const std::string& store_url) {
  return {.shards = {{0, 1, 2}, {0, 2}, {1, 2}}, .shard_count = 2, .store_url = store_url, .flags = {}};
}

absl::StatusOr<pb::Resharding> Progress(TestCluster& cluster, size_t process) {
  pb::GetReshardingRequest request;
  request.set_name("docs");
  pb::GetReshardingResponse response;
  ALCOVE_RETURN_IF_ERROR(cluster.Call(process, &pb::VectorService::Stub::GetResharding, request, &response));
  return response.resharding();
}

class Reshard : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    auto started = testing::PostgresFixture::Start();
    ASSERT_THAT(started, IsOk());
    postgres_ = *std::move(started);
    url_ = *postgres_->NewDatabase();
  }
  // After the collection was resharded under `writers`: nothing lost, nothing twice, and it is spread over 3 shards.
  void Check(TestCluster& cluster, PointWriters& writers) {
    EXPECT_TRUE(writers.errors().empty()) << writers.errors().front();
    const std::vector<std::string> written = writers.acknowledged();
    EXPECT_GT(written.size(), 20u);
    std::set<std::string> wanted(written.begin(), written.end());
    for (int i = 0; i < kPoints; ++i) wanted.insert(absl::StrCat("p", i));
    for (size_t i = 0; i < cluster.size(); ++i) {
      // A write that waits is behind all the others.
      ASSERT_THAT(Upsert(cluster, i, 0, 500, true), IsOk());
      ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> found, AllIds(cluster, i));
      const std::set<std::string> unique(found.begin(), found.end());
      EXPECT_EQ(unique.size(), found.size());
      EXPECT_EQ(unique, wanted);
      pb::GetCollectionRequest get;
      get.set_name("docs");
      pb::GetCollectionResponse docs;
      ASSERT_THAT(cluster.Call(i, &pb::VectorService::Stub::GetCollection, get, &docs), IsOk());
      EXPECT_EQ(docs.collection().shard_count(), 3u);
      EXPECT_EQ(docs.collection().points(), static_cast<int64_t>(wanted.size()));
    }
  }
  absl::Status Begin(TestCluster& cluster) {
    pb::StartReshardingRequest request;
    request.set_name("docs");
    request.set_shard_count(3);
    pb::StartReshardingResponse response;
    ALCOVE_RETURN_IF_ERROR(cluster.Call(0, &pb::VectorService::Stub::StartResharding, request, &response));
    // A quick machine has ended it when the reply is made.
    const pb::Resharding& now = response.resharding();
    EXPECT_EQ(now.active() ? now.next_shard_count() : now.shard_count(), 3u);
    return absl::OkStatus();
  }
  absl::Status AwaitEnd(TestCluster& cluster, size_t process) {
    const absl::Time give_up = absl::Now() + absl::Seconds(120);
    while (absl::Now() < give_up) {
      ALCOVE_ASSIGN_OR_RETURN(const pb::Resharding now, Progress(cluster, process));
      if (!now.active()) {
        EXPECT_EQ(now.shard_count(), 3u);
        return absl::OkStatus();
      }
      EXPECT_LE(now.copied(), now.records());
      absl::SleepFor(absl::Milliseconds(20));
    }
    return absl::DeadlineExceededError("the resharding does not end");
  }

  std::unique_ptr<testing::PostgresFixture> postgres_;
  std::string url_;
};

TEST_P(Reshard, UnderLoadLosesDoublesAndFailsNothing) {
  TestCluster cluster(ThreeShards(url_));
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  std::string before;
  for (int i = 0; i < kPoints; i += 500) {
    const auto sequence = Upsert(cluster, 0, i, 500, true);
    ASSERT_THAT(sequence, IsOk());
    before = *sequence;
  }
  Searchers searchers(cluster, {0, 1, 2}, 2, kPoints);
  PointWriters writers(cluster, {0, 1, 2}, 2);
  searchers.AwaitMore(50);
  ASSERT_THAT(Begin(cluster), IsOk());
  EXPECT_THAT(Begin(cluster), ::testing::AnyOf(StatusIs(absl::StatusCode::kFailedPrecondition),  // under way
                                               StatusIs(absl::StatusCode::kInvalidArgument)));   // or done
  ASSERT_THAT(AwaitEnd(cluster, 1), IsOk());
  searchers.AwaitMore(100);
  writers.Stop();
  const std::vector<absl::Status> errors = searchers.Stop();
  EXPECT_TRUE(errors.empty()) << errors.size() << " of " << searchers.done() << ": " << errors.front();
  Check(cluster, writers);
  // What was written before can still be waited for, and what is written now waited for everywhere.
  pb::SearchPointsRequest old = Near(17);
  old.set_min_sequence(before);
  old.mutable_params()->set_exact(true);  // thousands of neighbours differ by less than a code's step
  pb::SearchPointsResponse found;
  ASSERT_THAT(cluster.Call(2, &pb::VectorService::Stub::SearchPoints, old, &found), IsOk());
  EXPECT_THAT(Ids(found), ::testing::StartsWith("p17 "));
  const auto after = Upsert(cluster, 1, kPoints, 10, false);
  ASSERT_THAT(after, IsOk());
  EXPECT_THAT(*after, ::testing::StartsWith("e2;"));
  for (size_t i = 0; i < 3; ++i) {
    pb::SearchPointsRequest request = Near(kPoints + 9);
    request.set_min_sequence(*after);
    request.mutable_params()->set_exact(true);
    ASSERT_THAT(cluster.Call(i, &pb::VectorService::Stub::SearchPoints, request, &found), IsOk());
    EXPECT_THAT(Ids(found), ::testing::StartsWith(absl::StrCat("p", kPoints + 9)));
  }
  // And it all is there after a restart.
  for (size_t i = 0; i < 3; ++i) EXPECT_THAT(cluster.process(i).Stop(), testing::IsOkAndHolds(0));
  for (size_t i = 0; i < 3; ++i) ASSERT_THAT(cluster.Launch(i), IsOk());
  for (size_t i = 0; i < 3; ++i) ASSERT_THAT(cluster.AwaitReady(i), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> found_again, AllIds(cluster, 0));
  EXPECT_EQ(found_again.size(), writers.acknowledged().size() + kPoints + 10);
}

TEST_P(Reshard, SurvivesTheDeathOfAnyProcessInTheMiddle) {
  TestCluster cluster(ThreeShards(url_));
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  for (int i = 0; i < kPoints; i += 500) ASSERT_THAT(Upsert(cluster, 0, i, 500, true), IsOk());
  // Only process 0 is asked, and it stays: what the death of another one costs is what is measured.
  Searchers searchers(cluster, {0}, 2, kPoints);
  PointWriters writers(cluster, {0}, 2);
  ASSERT_THAT(Begin(cluster), IsOk());
  for (const size_t victim : {1, 2}) {
    cluster.Kill(victim);
    searchers.AwaitMore(100);
    ASSERT_THAT(cluster.Start(victim), IsOk());
  }
  ASSERT_THAT(AwaitEnd(cluster, 0), IsOk());
  searchers.AwaitMore(100);
  writers.Stop();
  const std::vector<absl::Status> errors = searchers.Stop();
  EXPECT_TRUE(errors.empty()) << errors.size() << " of " << searchers.done() << ": " << errors.front();
  Check(cluster, writers);
}

TEST_P(Reshard, AllProcessesKilledInTheMiddleGoOnWhereTheyWere) {
  TestCluster cluster(ThreeShards(url_));
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  for (int i = 0; i < kPoints; i += 500) ASSERT_THAT(Upsert(cluster, 0, i, 500, true), IsOk());
  {
    PointWriters writers(cluster, {0, 1, 2}, 2);
    ASSERT_THAT(Begin(cluster), IsOk());
    for (size_t i = 0; i < 3; ++i) cluster.Kill(i);
    writers.Stop();
  }
  for (size_t i = 0; i < 3; ++i) ASSERT_THAT(cluster.Launch(i), IsOk());
  for (size_t i = 0; i < 3; ++i) ASSERT_THAT(cluster.AwaitReady(i), IsOk());
  PointWriters writers(cluster, {0, 1, 2}, 1);
  ASSERT_THAT(AwaitEnd(cluster, 0), IsOk());
  writers.Stop();
  ASSERT_THAT(Upsert(cluster, 0, 0, 500, true), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> found, AllIds(cluster, 1));
  const std::set<std::string> unique(found.begin(), found.end());
  EXPECT_EQ(unique.size(), found.size());
  for (int i = 0; i < kPoints; ++i) EXPECT_TRUE(unique.contains(absl::StrCat("p", i))) << i;
  for (const std::string& id : writers.acknowledged()) EXPECT_TRUE(unique.contains(id)) << id;
}

TEST_P(Reshard, CanBeGivenUpAndBegunAgain) {
  TestCluster cluster(ThreeShards(url_));
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 0, 0, 500, true), IsOk());
  pb::CancelReshardingRequest cancel;
  cancel.set_name("docs");
  pb::CancelReshardingResponse cancelled;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::CancelResharding, cancel, &cancelled),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not being resharded")));
  pb::StartReshardingRequest wrong;
  wrong.set_name("docs");
  wrong.set_shard_count(4);
  pb::StartReshardingResponse response;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::StartResharding, wrong, &response),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 shards")));
  wrong.set_shard_count(2);
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::StartResharding, wrong, &response),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("already")));
  ASSERT_THAT(Begin(cluster), IsOk());
  // It may have ended before it was given up: then there is nothing to give up.
  const absl::Status given_up = cluster.Call(1, &pb::VectorService::Stub::CancelResharding, cancel, &cancelled);
  EXPECT_THAT(given_up, ::testing::AnyOf(IsOk(), StatusIs(absl::StatusCode::kFailedPrecondition)));
  if (given_up.ok()) {
    EXPECT_EQ(Progress(cluster, 2)->shard_count(), 2u);
    ASSERT_THAT(Begin(cluster), IsOk());
  }
  ASSERT_THAT(AwaitEnd(cluster, 0), IsOk());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> found, AllIds(cluster, 1));
  EXPECT_EQ(found.size(), 500u);
}

INSTANTIATE_TEST_SUITE_P(Engines, Reshard, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Postgres" : "Sqlite"; });

}  // namespace
}  // namespace alcove::vector_search
