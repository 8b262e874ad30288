// What only shows with real processes: two of them on one SQLite file, searched, written to, stopped and killed.
#include <string>

#include "libs/testing/paths.h"
#include "libs/testing/postgres_fixture.h"
#include "services/vector-search/cluster_for_test.h"
#include "services/vector-search/crash_for_test.h"
#include "services/vector-search/load_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

TEST(TwoProcesses, AnswerAlikeWhicheverIsAsked) {
  TwoProcesses cluster;
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 1, 0, 400, true), IsOk());
  for (size_t process = 0; process < 2; ++process) {
    pb::SearchPointsResponse found;
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, Near(200.2f), &found), IsOk());
    EXPECT_EQ(Ids(found), "p200 p201 p199");
    EXPECT_EQ(found.shards().answered(), 2u);
    EXPECT_EQ(found.points(0).payload().fields().at("tag").string_value(), "even");

    pb::SearchPointsRequest even = Near(200.2f);
    pb::Match* match = even.mutable_filter()->add_must()->mutable_match();
    match->set_field("tag");
    match->mutable_value()->set_string_value("even");
    even.mutable_filter()->add_must_not()->mutable_has_id()->add_ids("p200");
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, even, &found), IsOk());
    EXPECT_EQ(Ids(found), "p202 p198 p204");

    pb::SearchPointsRequest like = Near(0);
    like.clear_vector();
    like.set_id("p7");
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, like, &found), IsOk());
    EXPECT_THAT(Ids(found), ::testing::AnyOf("p6 p8 p5", "p6 p8 p9", "p8 p6 p5", "p8 p6 p9"));

    pb::CountPointsRequest count;
    count.set_collection("docs");
    pb::CountPointsResponse counted;
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::CountPoints, count, &counted), IsOk());
    EXPECT_EQ(counted.count(), 400);
  }
  // A wrong filter is the caller's mistake, whichever process finds out.
  pb::SearchPointsRequest wrong = Near(1);
  wrong.mutable_filter()->add_must()->mutable_is_empty()->set_field("colour");
  pb::SearchPointsResponse found;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, wrong, &found),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("colour")));
  EXPECT_THAT(cluster.process(0).Stop(), testing::IsOkAndHolds(0));
  EXPECT_THAT(cluster.process(1).Stop(), testing::IsOkAndHolds(0));
}

// A backup is a matter of the folder: any process answers for it, and one that dies does not leave it running for ever.
TEST(TwoProcesses, AnswerForEachOthersBackups) {
  const testing::TempDir dir;
  TwoProcesses cluster({absl::StrCat("--backup.directory=", dir.File("backups"))});
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 1, 0, 400, true), IsOk());
  const auto await = [&](size_t process, const std::string& name) {
    pb::GetBackupRequest get;
    get.set_name(name);
    pb::GetBackupResponse reply;
    for (int look = 0; look < 2000; ++look) {
      EXPECT_THAT(cluster.Call(process, &pb::BackupService::Stub::GetBackup, get, &reply), IsOk());
      if (reply.backup().state() != pb::JOB_STATE_RUNNING) break;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return reply.backup();
  };
  pb::CreateBackupRequest create;
  create.set_collection("docs");
  create.set_name("b");
  pb::CreateBackupResponse created;
  ASSERT_THAT(cluster.Call(0, &pb::BackupService::Stub::CreateBackup, create, &created), IsOk());
  EXPECT_EQ(await(1, "b").state(), pb::JOB_STATE_COMPLETE);
  EXPECT_EQ(await(1, "b").records(), 400u);
  EXPECT_THAT(cluster.Call(1, &pb::BackupService::Stub::CreateBackup, create, &created),
              StatusIs(absl::StatusCode::kAlreadyExists));

  pb::StartRestoreRequest start;
  start.set_name("b");
  start.set_collection("copy");
  pb::StartRestoreResponse started;
  ASSERT_THAT(cluster.Call(1, &pb::BackupService::Stub::StartRestore, start, &started), IsOk());
  pb::GetRestoreRequest get;
  get.set_name("b");
  pb::GetRestoreResponse restored;
  do {
    ASSERT_THAT(cluster.Call(0, &pb::BackupService::Stub::GetRestore, get, &restored), IsOk());
  } while (restored.restore().state() == pb::JOB_STATE_RUNNING);
  EXPECT_EQ(restored.restore().state(), pb::JOB_STATE_COMPLETE) << restored.restore().error();
  pb::GetCollectionRequest look;
  look.set_name("copy");
  pb::GetCollectionResponse copy;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::GetCollection, look, &copy), IsOk());

  // A process that is killed in the middle of one: whichever moment it was, the other says how it stands.
  create.set_name("killed");
  ASSERT_THAT(cluster.Call(0, &pb::BackupService::Stub::CreateBackup, create, &created), IsOk());
  cluster.Kill(0);
  const pb::Backup left = await(1, "killed");
  EXPECT_EQ(left.state(), left.error().empty() ? pb::JOB_STATE_COMPLETE : pb::JOB_STATE_FAILED);
}

// Words, sparse vectors, facets and fused rankings cross the line between processes like everything else.
TEST(TwoProcesses, ScoreWordsByTheStatisticsOfBoth) {
  TwoProcesses cluster;
  pb::CreateCollectionRequest create;
  pb::Collection& docs = *create.mutable_collection();
  docs.set_name("docs");
  (*docs.mutable_vectors())[""].set_dimension(2);
  (*docs.mutable_sparse())["words"].set_text_field("text");
  (*docs.mutable_sparse())["raw"].set_idf(true);
  (*docs.mutable_schema())["tag"] = pb::FIELD_TYPE_KEYWORD;
  pb::CreateCollectionResponse created;
  ASSERT_THAT(cluster.Call(0, &pb::VectorService::Stub::CreateCollection, create, &created, absl::Seconds(20), true),
              IsOk());
  pb::UpsertPointsRequest upsert;
  upsert.set_collection("docs");
  upsert.set_wait(true);
  for (int i = 0; i < 40; ++i) {
    pb::Point& point = *upsert.add_points();
    point.set_id(absl::StrCat("p", i));
    point.add_vector(1);
    point.add_vector(static_cast<float>(i));
    auto& fields = *point.mutable_payload()->mutable_fields();
    fields["text"].set_string_value(
        absl::StrCat("common", i % 4 == 0 ? " rare" : "", i == 7 ? " unique rare rare" : ""));
    fields["tag"].set_string_value(i % 3 == 0 ? "third" : "other");
    pb::SparseVector& raw = (*point.mutable_sparse_vectors())["raw"];
    raw.add_indices(static_cast<uint32_t>(i % 5));
    raw.add_values(static_cast<float>(1 + i));
  }
  pb::UpsertPointsResponse upserted;
  ASSERT_THAT(cluster.Call(1, &pb::VectorService::Stub::UpsertPoints, upsert, &upserted), IsOk());

  const auto both = [&](const pb::SearchPointsRequest& request) {
    std::string answers[2];
    for (size_t process = 0; process < 2; ++process) {
      pb::SearchPointsResponse found;
      EXPECT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, request, &found), IsOk());
      for (const pb::ScoredPoint& point : found.points()) {
        absl::StrAppend(&answers[process], point.id(), "=", point.score(), " ");
      }
    }
    EXPECT_EQ(answers[0], answers[1]);
    return answers[0];
  };
  pb::SearchPointsRequest words;
  words.set_collection("docs");
  words.set_text("rare unique");
  words.set_limit(11);
  EXPECT_THAT(both(words), ::testing::StartsWith("p7="));
  // All ten that hold the word once in as many words score alike, in whichever process they are.
  pb::SearchPointsResponse found;
  ASSERT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, words, &found), IsOk());
  ASSERT_EQ(found.points_size(), 11);
  for (int i = 2; i < 11; ++i) EXPECT_EQ(found.points(i).score(), found.points(1).score());

  pb::SearchPointsRequest raw;
  raw.set_collection("docs");
  raw.mutable_sparse()->add_indices(2);
  raw.mutable_sparse()->add_values(1);
  raw.set_limit(2);
  EXPECT_THAT(both(raw), ::testing::StartsWith("p37="));

  pb::SearchPointsRequest fused;
  fused.set_collection("docs");
  fused.add_prefetch()->set_text("unique");
  pb::Prefetch& dense = *fused.add_prefetch();
  dense.add_vector(1);
  dense.add_vector(0);
  fused.mutable_group_by()->set_field("tag");
  for (size_t process = 0; process < 2; ++process) {
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::SearchPoints, fused, &found), IsOk());
    ASSERT_EQ(found.groups_size(), 2);
    EXPECT_EQ(found.groups(0).value().string_value(), "other");
    EXPECT_EQ(found.groups(0).points(0).id(), "p7");
    pb::FacetPointsRequest facet;
    facet.set_collection("docs");
    facet.set_field("tag");
    pb::FacetPointsResponse counts;
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::FacetPoints, facet, &counts), IsOk());
    ASSERT_EQ(counts.counts_size(), 2);
    EXPECT_EQ(counts.counts(0).count(), 26);
    EXPECT_EQ(counts.counts(1).count(), 14);
  }

  // One process gone: fused searches fail, or say that they are partial.
  cluster.Kill(1);
  fused.clear_group_by();
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, fused, &found),
              StatusIs(absl::StatusCode::kUnavailable));
  fused.set_partial_results(pb::PARTIAL_RESULTS_ALLOW);
  ASSERT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, fused, &found), IsOk());
  EXPECT_EQ(found.shards().answered(), 1u);
  EXPECT_GT(found.points_size(), 0);
}

TEST(TwoProcesses, AReaderAtOneSeesWhatItWroteThroughTheOther) {
  TwoProcesses cluster;
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  for (int i = 0; i < 20; ++i) {
    const auto sequence = Upsert(cluster, static_cast<size_t>(i % 2), i * 10, 10, false);
    ASSERT_THAT(sequence, IsOk());
    pb::SearchPointsRequest request = Near(static_cast<float>(i * 10 + 9));
    request.set_min_sequence(*sequence);
    request.set_limit(1);
    pb::SearchPointsResponse found;
    ASSERT_THAT(cluster.Call(static_cast<size_t>(1 - i % 2), &pb::VectorService::Stub::SearchPoints, request, &found),
                IsOk());
    EXPECT_EQ(Ids(found), absl::StrCat("p", i * 10 + 9));
  }
}

TEST(TwoProcesses, WithOneDownASearchFailsOrSaysThatItIsPartial) {
  TwoProcesses cluster;
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 0, 0, 100, true), IsOk());
  cluster.Kill(1);
  pb::SearchPointsResponse found;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, Near(50), &found),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shard 1")));
  pb::SearchPointsRequest partial = Near(50);
  partial.set_partial_results(pb::PARTIAL_RESULTS_ALLOW);
  ASSERT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, partial, &found), IsOk());
  EXPECT_EQ(found.shards().asked(), 2u);
  EXPECT_EQ(found.shards().answered(), 1u);
  EXPECT_EQ(found.shards().failures_size(), 1);
  EXPECT_EQ(found.points_size(), 3);
  // Writes need only the store; the other shard applies them when it is back.
  const auto sequence = Upsert(cluster, 0, 100, 100, false);
  ASSERT_THAT(sequence, IsOk());
  ASSERT_THAT(cluster.Start(1), IsOk());
  pb::SearchPointsRequest whole = Near(150);
  whole.set_min_sequence(*sequence);
  // A process that says it serves can be reached by the others: there is nothing to wait for.
  ASSERT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, whole, &found), IsOk());
  EXPECT_THAT(Ids(found), ::testing::StartsWith("p150 "));
  EXPECT_EQ(found.shards().answered(), 2u);
}

TEST(TwoProcesses, ACollectionRemovedThroughOneIsGoneFromTheOtherAtOnce) {
  TwoProcesses cluster;
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE(round);
    const size_t process = static_cast<size_t>(round % 2);
    ASSERT_THAT(cluster.CreateDocs(2), IsOk());
    ASSERT_THAT(Upsert(cluster, 0, 0, 4, true), IsOk());
    pb::SearchPointsResponse found;
    ASSERT_THAT(cluster.Call(1 - process, &pb::VectorService::Stub::SearchPoints, Near(1), &found), IsOk());
    pb::DeleteCollectionRequest remove;
    remove.set_name("docs");
    pb::DeleteCollectionResponse removed;
    ASSERT_THAT(cluster.Call(process, &pb::VectorService::Stub::DeleteCollection, remove, &removed), IsOk());
    for (size_t asked = 0; asked < 2; ++asked) {
      EXPECT_THAT(cluster.Call(asked, &pb::VectorService::Stub::SearchPoints, Near(1), &found),
                  StatusIs(absl::StatusCode::kNotFound));
      EXPECT_THAT(Upsert(cluster, asked, 0, 1, false), StatusIs(absl::StatusCode::kNotFound));
    }
  }
}

TEST(TwoProcesses, AnswerAtOnceAfterACleanRestartOfBoth) {
  TwoProcesses cluster;
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 0, 0, 50, true), IsOk());
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    for (size_t i = 0; i < 2; ++i) EXPECT_THAT(cluster.process(i).Stop(), testing::IsOkAndHolds(0));
    ASSERT_THAT(cluster.Launch(static_cast<size_t>(round % 2)), IsOk());
    ASSERT_THAT(cluster.Launch(static_cast<size_t>(1 - round % 2)), IsOk());
    for (size_t i = 0; i < 2; ++i) ASSERT_THAT(cluster.AwaitReady(i), IsOk());
    for (size_t i = 0; i < 2; ++i) {
      pb::SearchPointsResponse found;
      ASSERT_THAT(cluster.Call(i, &pb::VectorService::Stub::SearchPoints, Near(20.2f), &found), IsOk());
      EXPECT_EQ(Ids(found), "p20 p21 p19");
    }
  }
}

TEST(Replicas, KilledOrFrozenUnderLoadFailNoSearch) {
  // Process 0 only coordinates and holds a shard of its own; each of the other two shards has two replicas.
  TestCluster cluster({.shards = {{0}, {0, 1}, {1}}});
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 0, 0, 300, true), IsOk());
  Searchers searchers(cluster, {0}, 3, 300);
  for (const size_t victim : {2, 1, 2, 1}) {
    searchers.AwaitMore(200);
    cluster.Kill(victim);
    searchers.AwaitMore(200);
    ASSERT_THAT(cluster.Start(victim), IsOk());
  }
  for (const size_t victim : {2, 1}) {
    searchers.AwaitMore(200);
    cluster.process(victim).Freeze();
    searchers.AwaitMore(300);
    cluster.process(victim).Thaw();
  }
  searchers.AwaitMore(200);
  const std::vector<absl::Status> errors = searchers.Stop();
  EXPECT_TRUE(errors.empty()) << errors.size() << " of " << searchers.done() << ": " << errors.front();
}

TEST(Replicas, ACoordinatorsOwnReplicaMayBeTheOneThatIsAway) {
  TestCluster cluster({.shards = {{0, 1}, {0, 1}}, .flags = {}});
  ASSERT_THAT(cluster.CreateDocs(2), IsOk());
  ASSERT_THAT(Upsert(cluster, 0, 0, 100, true), IsOk());
  for (size_t i = 0; i < 2; ++i) {
    pb::GetCollectionRequest get;
    get.set_name("docs");
    pb::GetCollectionResponse docs;
    ASSERT_THAT(cluster.Call(i, &pb::VectorService::Stub::GetCollection, get, &docs), IsOk());
    EXPECT_EQ(docs.collection().points(), 100);  // each point once, however many replicas hold it
  }
  cluster.Kill(1);
  pb::SearchPointsResponse found;
  EXPECT_THAT(cluster.Call(0, &pb::VectorService::Stub::SearchPoints, Near(7), &found), IsOk());
  // What is written while a replica is away is there when it is back.
  const auto sequence = Upsert(cluster, 0, 100, 100, true);
  ASSERT_THAT(sequence, IsOk());
  ASSERT_THAT(cluster.Start(1), IsOk());
  pb::SearchPointsRequest request = Near(150);
  request.set_min_sequence(*sequence);
  ASSERT_THAT(cluster.Call(1, &pb::VectorService::Stub::SearchPoints, request, &found), IsOk());
  EXPECT_THAT(Ids(found), ::testing::StartsWith("p150 "));
}

TEST(TwoProcesses, KilledAtRandomLoseNothingAcknowledged) { RunCrashRounds({.rounds = 10}); }

TEST(TwoProcesses, KilledAtRandomOnPostgresLoseNothingAcknowledged) {
  auto postgres = testing::PostgresFixture::Start();
  ASSERT_THAT(postgres, IsOk());
  RunCrashRounds({.rounds = 6, .seed = 3, .store_url = *(*postgres)->NewDatabase()});
}

TEST(TheProcess, RefusesAWrongConfigurationWithExitCodeTwo) {
  testing::ChildOptions options;
  options.binary = absl::StrCat(testing::BuildDir(), "/bin/alcove-vector-search");
  options.args = {"--no.such.key=1"};
  auto process = testing::ChildProcess::Start(options);
  ASSERT_THAT(process, IsOk());
  EXPECT_THAT((*process)->WaitForExit(), testing::IsOkAndHolds(2));
  EXPECT_THAT((*process)->Output(), HasSubstr("no.such.key"));
}

TEST(TheProcess, SaysWhichShardNobodyHolds) {
  const testing::TempDir dir;
  testing::ChildOptions options;
  options.binary = absl::StrCat(testing::BuildDir(), "/bin/alcove-vector-search");
  options.args = {"--node.shards=0",
                  "--cluster.shard_count=2",
                  "--server.listen=127.0.0.1:0",
                  "--server.admin_listen=127.0.0.1:0",
                  absl::StrCat("--data_dir=", dir.path()),
                  absl::StrCat("--store.url=sqlite:", dir.File("x.db"))};
  auto process = testing::ChildProcess::Start(options);
  ASSERT_THAT(process, IsOk());
  EXPECT_THAT((*process)->WaitForExit(), testing::IsOkAndHolds(2)) << "as for every wrong configuration";
  EXPECT_THAT((*process)->Output(), HasSubstr("no node holds shard 1"));
}

}  // namespace
}  // namespace alcove::vector_search
