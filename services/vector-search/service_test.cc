// One process, both faces, over real gRPC and SQLite.
#include <memory>
#include <string>

#include "services/vector-search/convert.h"
#include "services/vector-search/service_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ServiceTest, StoresFindsAndForgets) {
  CreateDocs();
  FillDocs();
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0.1]})")), "abc");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "id": "a", "limit": 1})")), "b");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0], "offset": 1, "limit": 1})")), "b");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0], "scoreThreshold": 0.9})")), "a");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0],
    "filter": {"must": [{"match": {"field": "tag", "value": "y"}}]}})")),
            "bc");
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0],
    "filter": {"must": [{"range": {"field": "size", "gte": 2}}], "mustNot": [{"hasId": {"ids": ["b"]}}]}})")),
            "c");

  const auto one = SearchPoints(R"({"collection": "docs", "vector": [1, 0], "limit": 1, "withVectors": true})");
  ASSERT_THAT(one, IsOk());
  EXPECT_FLOAT_EQ(one->points(0).score(), 1);
  EXPECT_THAT(one->points(0).vector(), ElementsAre(1, 0));
  EXPECT_EQ(one->points(0).payload().fields().at("text").string_value(), "first");
  EXPECT_EQ(one->shards().asked(), 2u);
  EXPECT_EQ(one->shards().answered(), 2u);

  const auto got = GetPoints(R"({"collection": "docs", "ids": ["c", "zz", "a"], "payload": {"include": ["size"]}})");
  ASSERT_THAT(got, IsOk());
  ASSERT_EQ(got->points_size(), 2);
  EXPECT_EQ(got->points(0).id(), "c");
  EXPECT_EQ(got->points(0).payload().fields().size(), 1u);
  EXPECT_EQ(got->points(0).vector_size(), 0);

  EXPECT_EQ(CountPoints(R"({"collection": "docs"})")->count(), 3);
  const auto deleted = DeletePoints(R"({"collection": "docs", "wait": true,
    "filter": {"must": [{"match": {"field": "tag", "value": "x"}}]}})");
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->deleted(), 2u);
  EXPECT_EQ(CountPoints(R"({"collection": "docs"})")->count(), 1);
  ALCOVE_EXPECT_OK(DeletePoints(R"({"collection": "docs", "ids": ["c", "never"], "wait": true})"));
  EXPECT_EQ(CountPoints(R"({"collection": "docs"})")->count(), 0);
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0]})")), "");
}

TEST_F(ServiceTest, AReaderSeesWhatItHasWritten) {
  CreateDocs();
  for (int i = 0; i < 30; ++i) {
    const auto written =
        UpsertPoints(absl::StrCat(R"({"collection": "docs", "points": [{"id": "p", "vector": [1, )", i, R"(]}]})"));
    ASSERT_THAT(written, IsOk());
    const auto found =
        SearchPoints(absl::StrCat(R"({"collection": "docs", "vector": [1, 0], "withVectors": true, "minSequence": ")",
                                  written->sequence(), "\"}"));
    ASSERT_THAT(found, IsOk());
    ASSERT_EQ(found->points_size(), 1);
    EXPECT_EQ(found->points(0).vector(1), static_cast<float>(i));
  }
}

TEST_F(ServiceTest, WaitingForASequenceNobodyWroteEndsAtTheDeadline) {
  CreateDocs();
  ctx_ = ctx_.WithTimeout(absl::Milliseconds(200));
  EXPECT_THAT(SearchPoints(R"({"collection": "docs", "vector": [1, 0], "minSequence": "0:99"})").status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ServiceTest, EverythingIsThereAfterARestart) {
  CreateDocs();
  FillDocs();
  Stop();
  Start();
  EXPECT_EQ(Ids(SearchPoints(R"({"collection": "docs", "vector": [1, 0]})")), "abc");
  const auto got = GetPoints(R"({"collection": "docs", "ids": ["b"], "withVectors": true})");
  EXPECT_THAT(got->points(0).vector(), ElementsAre(2, 2));
}

TEST_F(ServiceTest, DescribesAndListsCollectionsOfTheTenantOnly) {
  CreateDocs();
  FillDocs();
  const auto described = GetCollection(R"({"name": "docs"})");
  ASSERT_THAT(described, IsOk());
  EXPECT_EQ(described->collection().points(), 3);
  EXPECT_GT(described->collection().memory_bytes(), 0);
  EXPECT_EQ(described->collection().shard_count(), 2u);
  EXPECT_EQ(described->collection().vectors().at("").hnsw().m(), 16u);
  EXPECT_THAT(described->collection().applied_sequence(), HasSubstr("0:"));
  EXPECT_EQ(ListCollections("{}")->collections_size(), 1);
  ctx_ = RequestContext({.tenant = "other", .request_id = "r2"});
  EXPECT_EQ(ListCollections("{}")->collections_size(), 0);
  EXPECT_THAT(GetCollection(R"({"name": "docs"})").status(), StatusIs(absl::StatusCode::kNotFound));
  CreateDocs();
  EXPECT_EQ(CountPoints(R"({"collection": "docs"})")->count(), 0);
  ALCOVE_EXPECT_OK(DeleteCollection(R"({"name": "docs"})"));
  EXPECT_THAT(CountPoints(R"({"collection": "docs"})").status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ServiceTest, ScrollsInPagesAndSearchesInBatches) {
  CreateDocs();
  FillDocs();
  auto page = ScrollPoints(R"({"collection": "docs", "pageSize": 2, "withVectors": true})");
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->points_size(), 2);
  EXPECT_EQ(page->points(1).id(), "b");
  page = ScrollPoints(absl::StrCat(R"({"collection": "docs", "pageToken": ")", page->next_page_token(), "\"}"));
  ASSERT_EQ(page->points_size(), 1);
  EXPECT_EQ(page->next_page_token(), "");
  const auto batch = BatchSearchPoints(R"({"collection": "docs", "searches": [
    {"vector": [1, 0], "limit": 1}, {"vector": [0, 1], "limit": 2}]})");
  ASSERT_THAT(batch, IsOk());
  EXPECT_EQ(batch->results(0).points(0).id(), "a");
  EXPECT_EQ(batch->results(1).points(0).id(), "c");
  EXPECT_THAT(
      BatchSearchPoints(R"({"collection": "docs", "searches": [{"vector": [1, 0]}, {"vector": [1]}]})").status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("searches[1]")));
}

TEST_F(ServiceTest, ARepeatedWriteWithItsKeyIsNotWrittenTwice) {
  CreateDocs();
  const std::string call =
      R"({"collection": "docs", "idempotencyKey": "k", "points": [{"id": "a", "vector": [1, 0]}]})";
  const auto first = UpsertPoints(call);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(UpsertPoints(call)->sequence(), first->sequence());
  EXPECT_THAT(
      UpsertPoints(R"({"collection": "docs", "idempotencyKey": "k", "points": [{"id": "a", "vector": [1, 1]}]})")
          .status(),
      StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ServiceTest, BadInputIsNamedAndWritesNothing) {
  CreateDocs();
  const auto invalid = [](const char* message) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message));
  };
  EXPECT_THAT(CreateCollection(R"({"collection": {"name": "a b", "vectors": {"": {"dimension": 2}}}})").status(),
              invalid("name"));
  EXPECT_THAT(CreateCollection(R"({"collection": {"name": "a", "vectors": {"": {"dimension": 70000}}}})").status(),
              invalid("dimension"));
  EXPECT_THAT(CreateCollection(R"({"collection": {"name": "docs", "vectors": {"": {"dimension": 2}}}})").status(),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(
      UpsertPoints(R"({"collection": "docs", "points": [{"id": "a", "vector": [1, 0]}, {"id": "b", "vector": [1]}]})")
          .status(),
      invalid("points[1].vector"));
  EXPECT_THAT(
      UpsertPoints(R"({"collection": "docs", "points": [{"id": "a", "vector": [1, 0], "payload": {"size": "big"}}]})")
          .status(),
      invalid("expected integer"));
  EXPECT_THAT(UpsertPoints(R"({"collection": "docs"})").status(), invalid("points"));
  EXPECT_EQ(CountPoints(R"({"collection": "docs"})")->count(), 0);
  EXPECT_THAT(SearchPoints(R"({"collection": "docs", "vector": [1, "NaN"]})").status(), invalid("NaN"));
  EXPECT_THAT(
      SearchPoints(
          R"({"collection": "docs", "vector": [1, 0], "filter": {"must": [{"match": {"field": "colour", "value": 1}}]}})")
          .status(),
      invalid("colour"));
  EXPECT_THAT(DeletePoints(R"({"collection": "docs"})").status(), invalid("exactly one"));
  EXPECT_THAT(DeletePoints(R"({"collection": "docs", "filter": {}})").status(), invalid("at least one condition"));
  EXPECT_THAT(SearchPoints(R"({"collection": "none", "vector": [1, 0]})").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(ServiceTest, TheProcessSaysHowItIs) {
  CreateDocs();
  FillDocs();
  pb::GetStatusResponse status;
  ALCOVE_ASSERT_OK(Call(*shards_, &pb::ShardService::Stub::GetStatus, {}, &status));
  EXPECT_EQ(status.process().service(), "vector-search");
  EXPECT_EQ(status.process().health(), common::v1::HEALTH_SERVING);
  EXPECT_EQ(status.points(), 3);
  EXPECT_EQ(status.lag(), 0);
  EXPECT_THAT(status.shards(), ElementsAre(0, 1));
  const std::string metrics = registry_.Render();
  EXPECT_THAT(metrics, HasSubstr("alcove_vector_points{"));
  EXPECT_THAT(metrics, HasSubstr("alcove_vector_log_lag_records"));
}

}  // namespace
}  // namespace alcove::vector_search
