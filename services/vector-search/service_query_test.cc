// Sparse, fused, spread, grouped and recommended results through real gRPC, over two shards.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include <absl/strings/str_join.h>

#include "services/vector-search/query/similarity.h"
#include "services/vector-search/service_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class QueryTest : public ServiceTest {
 protected:
  // Vectors of two kinds, texts, places; every point has what its row says.
  void CreateThings() {
    ALCOVE_ASSERT_OK(CreateCollection(R"({"collection": {"name": "docs",
      "vectors": {"": {"dimension": 2}, "pic": {"dimension": 2, "metric": "METRIC_L2"}},
      "sparse": {"words": {"textField": "text", "text": {"language": "english", "stopWords": ["the"]}}, "splade": {}},
      "schema": {"tag": "FIELD_TYPE_KEYWORD", "n": "FIELD_TYPE_INTEGER", "free": "FIELD_TYPE_BOOL",
                 "place": "FIELD_TYPE_GEO", "text": "FIELD_TYPE_TEXT", "at": "FIELD_TYPE_DATETIME"}}})"));
    ALCOVE_ASSERT_OK(UpsertPoints(R"({"collection": "docs", "wait": true, "points": [
      {"id": "a", "vector": [1, 0], "namedVectors": {"pic": {"values": [0, 0]}},
       "sparseVectors": {"splade": {"indices": [3, 9], "values": [1, 2]}},
       "payload": {"tag": "x", "n": 1, "free": true, "text": "The lighthouse keeper paints boats",
                   "place": {"lat": 52.52, "lon": 13.405}, "at": "2024-05-01T12:00:00Z"}},
      {"id": "b", "vector": [1, 1], "namedVectors": {"pic": {"values": [5, 5]}},
       "payload": {"tag": ["x", "y"], "n": 2, "free": false, "text": "a painter of the sea and of ships",
                   "place": {"lat": 48.8566, "lon": 2.3522}, "at": "2024-06-01T12:00:00+02:00"}},
      {"id": "c", "vector": [0, 1],
       "sparseVectors": {"splade": {"indices": [9], "values": [1]}},
       "payload": {"tag": "y", "n": 2, "text": "boats boats boats",
                   "place": [{"lat": -33.86, "lon": 151.2}, {"lat": 52.4, "lon": 13.1}]}},
      {"id": "d", "vector": [-1, 0], "payload": {"tag": "z", "n": 3, "free": true, "text": ["nothing of it", "old boats"]}}
    ]})"));
  }
  std::string Search(const std::string& rest) { return Ids(SearchPoints(R"({"collection": "docs", )" + rest + "}")); }
  absl::Status SearchError(const std::string& rest) {
    return SearchPoints(R"({"collection": "docs", )" + rest + "}").status();
  }
};

TEST_F(QueryTest, FindsWordsBySimpleFormsAndVectorsByTheirComponents) {
  CreateThings();
  EXPECT_EQ(Search(R"("text": "boat")"), "cad");
  EXPECT_EQ(Search(R"("text": "painting ships", "vectorName": "words")"), "ab");
  EXPECT_EQ(Search(R"("text": "the")"), "");
  EXPECT_EQ(Search(R"("text": "?!")"), "");
  EXPECT_EQ(Search(R"("text": "boats", "filter": {"mustNot": [{"match": {"field": "tag", "value": "y"}}]})"), "ad");
  EXPECT_EQ(Search(R"("sparse": {"indices": [9], "values": [1]})"), "ac");
  EXPECT_EQ(Search(R"("sparse": {"indices": [3, 9], "values": [-5, 1]})"), "ca");
  EXPECT_EQ(Search(R"("sparse": {"indices": [9], "values": [1]}, "scoreThreshold": 1.5)"), "a");
  const auto found = SearchPoints(R"({"collection": "docs", "text": "boat", "limit": 1, "withVectors": true})");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->shards().answered(), 2u);
  const auto sparse =
      SearchPoints(R"({"collection": "docs", "sparse": {"indices": [3], "values": [2]}, "withVectors": true})");
  ASSERT_THAT(sparse, IsOk());
  EXPECT_FLOAT_EQ(sparse->points(0).score(), 2);
  EXPECT_THAT(sparse->points(0).sparse_vectors().at("splade").indices(), ElementsAre(3, 9));
}

// The definition of BM25 over all documents, whichever shard holds them.
TEST_F(QueryTest, ScoresByStatisticsOfTheWholeCollection) {
  ALCOVE_ASSERT_OK(CreateCollection(
      R"({"collection": {"name": "docs", "sparse": {"words": {"textField": "text", "k1": 0.9, "b": 0.4}}}})"));
  std::mt19937 rng(1);
  std::map<std::string, std::vector<std::string>> docs;
  std::string points;
  for (int i = 0; i < 60; ++i) {
    std::vector<std::string>& words = docs[absl::StrCat("d", i)];
    for (size_t n = 1 + rng() % 12; n > 0; --n) words.push_back(absl::StrCat("w", rng() % 3 * (rng() % 7)));
    absl::StrAppend(&points, i == 0 ? "" : ",", R"({"id": "d)", i, R"(", "payload": {"text": ")",
                    absl::StrJoin(words, " "), R"("}})");
  }
  ALCOVE_ASSERT_OK(UpsertPoints(R"({"collection": "docs", "wait": true, "points": [)" + points + "]}"));
  double total = 0;
  for (const auto& [id, words] : docs) total += static_cast<double>(words.size());
  const double mean = total / 60;
  for (const std::vector<std::string>& query : {std::vector<std::string>{"w2"}, {"w0", "w6"}, {"w1", "w4", "w8"}}) {
    std::map<std::string, double> expected;
    for (const std::string& word : query) {
      double df = 0;
      for (const auto& [id, words] : docs) df += std::count(words.begin(), words.end(), word) > 0;
      for (const auto& [id, words] : docs) {
        const auto f = static_cast<double>(std::count(words.begin(), words.end(), word));
        if (f == 0) continue;
        expected[id] += std::log(1 + (60 - df + 0.5) / (df + 0.5)) * f * 1.9 /
                        (f + 0.9 * (0.6 + 0.4 * static_cast<double>(words.size()) / mean));
      }
    }
    const auto found =
        SearchPoints(R"({"collection": "docs", "limit": 100, "text": ")" + absl::StrJoin(query, " ") + R"("})");
    ASSERT_THAT(found, IsOk());
    ASSERT_EQ(static_cast<size_t>(found->points_size()), expected.size());
    for (const pb::ScoredPoint& point : found->points()) EXPECT_NEAR(point.score(), expected[point.id()], 1e-4);
  }
}

TEST_F(QueryTest, FusesRankingsByRankOrByScore) {
  CreateThings();
  const std::string legs = R"("prefetch": [{"vector": [1, 0]}, {"text": "boats", "weight": 1}])";
  EXPECT_EQ(Search(legs), "acdb");
  const auto rrf = SearchPoints(R"({"collection": "docs", )" + legs + R"(, "fusion": {"rrfK": 1}})");
  ASSERT_THAT(rrf, IsOk());
  EXPECT_FLOAT_EQ(rrf->points(0).score(), 1.0f / 2 + 1.0f / 3);  // first by vector, second by words
  EXPECT_EQ(rrf->points(0).payload().fields().at("tag").string_value(), "x");
  EXPECT_EQ(Search(R"("prefetch": [{"vector": [1, 0], "weight": 0.01}, {"text": "boats", "weight": 5}],
                      "fusion": {"method": "FUSION_METHOD_WEIGHTED"})"),
            "cabd");
  EXPECT_EQ(Search(R"("prefetch": [{"vector": [1, 0]}, {"vector": [6, 6], "vectorName": "pic"},
                                   {"sparse": {"indices": [3], "values": [1]}}], "limit": 2)"),
            "ab");
  EXPECT_EQ(Search(legs + R"(, "offset": 1, "limit": 2)"), "cd");
  EXPECT_EQ(Search(legs + R"(, "filter": {"must": [{"match": {"field": "tag", "value": "y"}}]})"), "cb");
  EXPECT_EQ(Search(R"("prefetch": [{"vector": [1, 0], "filter": {"must": [{"match": {"field": "n", "value": 2}}]}},
                                   {"text": "nothing"}])"),
            "bdc");
  EXPECT_EQ(Search(R"("prefetch": [{"id": "a"}, {"text": "boats"}])"), "cdb");  // never the point itself
  EXPECT_EQ(Search(R"("prefetch": [{"vector": [1, 0], "limit": 1}, {"text": "boats", "limit": 1}])"), "ac");
  EXPECT_EQ(Search(legs + R"(, "scoreThreshold": 0.02)"), "acd");
}

TEST_F(QueryTest, MarksTheWordsThatMatched) {
  CreateThings();
  const auto found = SearchPoints(R"({"collection": "docs", "text": "painted boat", "payload": {"include": ["n"]},
    "highlight": {"pre": "[", "post": "]"}})");
  ASSERT_THAT(found, IsOk());
  std::map<std::string, std::string> marked;
  for (const pb::ScoredPoint& point : found->points()) {
    EXPECT_EQ(point.payload().fields().size(), 1u);
    ASSERT_EQ(point.highlights_size(), 1);
    EXPECT_EQ(point.highlights(0).field(), "text");
    marked[point.id()] = absl::StrJoin(point.highlights(0).fragments(), "|");
  }
  EXPECT_EQ(marked["a"], "The lighthouse keeper [paints] [boats]");
  EXPECT_EQ(marked["d"], "old [boats]");
  EXPECT_THAT(SearchError(R"("vector": [1, 0], "highlight": {})"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(QueryTest, SpreadsResults) {
  ALCOVE_ASSERT_OK(CreateCollection(R"({"collection": {"name": "docs", "vectors": {"": {"dimension": 2}}}})"));
  ALCOVE_ASSERT_OK(UpsertPoints(R"({"collection": "docs", "wait": true, "points": [
    {"id": "a", "vector": [1, 0]}, {"id": "b", "vector": [1, 0.01]}, {"id": "c", "vector": [1, 0.02]},
    {"id": "d", "vector": [1, 1]}, {"id": "e", "vector": [0.2, -1]}]})"));
  EXPECT_EQ(Search(R"("vector": [1, 0], "limit": 3)"), "abc");
  for (const char* method : {"DIVERSITY_METHOD_MMR", "DIVERSITY_METHOD_DPP"}) {
    const std::string diversity = absl::StrCat(R"(, "diversity": {"lambda": 0.4, "method": ")", method, "\"}");
    EXPECT_THAT(Search(R"("vector": [1, 0], "limit": 3)" + diversity), ::testing::AnyOf("ade", "aed")) << method;
    EXPECT_THAT(Search(R"("vector": [1, 0], "limit": 2, "offset": 1)" + diversity), ::testing::AnyOf("de", "ed"));
  }
  EXPECT_EQ(Search(R"("vector": [1, 0], "limit": 3, "diversity": {"lambda": 1})"), "abc");
  EXPECT_EQ(Search(R"("vector": [1, 0], "limit": 3, "diversity": {"lambda": 0, "candidates": 3})").size(), 3u);
  const auto with =
      SearchPoints(R"({"collection": "docs", "vector": [1, 0], "limit": 1, "withVectors": true, "diversity": {}})");
  ASSERT_THAT(with, IsOk());
  EXPECT_THAT(with->points(0).vector(), ElementsAre(1, 0));
  EXPECT_FLOAT_EQ(with->points(0).score(), 1);
}

std::string Groups(const absl::StatusOr<pb::SearchPointsResponse>& found) {
  if (!found.ok()) return found.status().ToString();
  std::string out;
  for (const pb::PointGroup& group : found->groups()) {
    absl::StrAppend(&out, out.empty() ? "" : " ",
                    group.value().has_string_value() ? group.value().string_value()
                    : group.value().has_bool_value() ? (group.value().bool_value() ? "true" : "false")
                                                     : absl::StrCat(group.value().number_value()),
                    ":");
    for (const pb::ScoredPoint& point : group.points()) out += point.id();
  }
  return out;
}

TEST_F(QueryTest, GroupsByAValue) {
  CreateThings();
  const auto groups = [&](const std::string& rest) {
    return Groups(SearchPoints(R"({"collection": "docs", )" + rest + "}"));
  };
  EXPECT_EQ(groups(R"("vector": [1, 0], "groupBy": {"field": "tag"})"), "x:ab y:bc z:d");
  EXPECT_EQ(groups(R"("vector": [1, 0], "groupBy": {"field": "n", "groupSize": 1})"), "1:a 2:b 3:d");
  EXPECT_EQ(groups(R"("vector": [1, 0], "groupBy": {"field": "free"}, "limit": 1, "offset": 1)"), "false:b");
  EXPECT_EQ(groups(R"("text": "boats", "groupBy": {"field": "n"}, "scoreThreshold": 0.0001)"), "2:c 1:a 3:d");
  EXPECT_EQ(groups(R"("prefetch": [{"vector": [1, 0]}, {"text": "boats"}], "groupBy": {"field": "tag"}, "limit": 2)"),
            "x:ab y:cb");
  // Many points of one group before the others: further rounds find them, and groups are filled up.
  std::string points;
  for (int i = 0; i < 300; ++i) {
    absl::StrAppend(&points, i == 0 ? "" : ",", R"({"id": "m)", i, R"(", "vector": [-1, )", -1 - 0.01 * i,
                    R"(], "payload": {"tag": "many"}})");
  }
  ALCOVE_ASSERT_OK(UpsertPoints(R"({"collection": "docs", "wait": true, "points": [)" + points + "]}"));
  EXPECT_EQ(groups(R"("vector": [-1, -1], "groupBy": {"field": "tag", "groupSize": 2}, "params": {"exact": true})"),
            "many:m0m1 z:d x:ab y:cb");
}

TEST_F(QueryTest, RecommendsByExamples) {
  CreateThings();
  const auto recommend = [&](const std::string& rest) {
    return Ids(RecommendPoints(R"({"collection": "docs", )" + rest + "}"));
  };
  EXPECT_EQ(recommend(R"("positive": ["a"])"), "bcd");
  EXPECT_EQ(recommend(R"("positive": ["a"], "negative": ["c"])"), "bd");
  EXPECT_EQ(recommend(R"("positive": ["c"], "negative": ["a"], "limit": 1)"), "d");
  EXPECT_EQ(recommend(R"("positiveVectors": [{"values": [0, 2]}], "limit": 2)"), "cb");
  EXPECT_EQ(recommend(R"("positive": ["a"], "vectorName": "pic")"), "b");
  EXPECT_EQ(recommend(R"("positive": ["b"], "offset": 1, "filter": {"mustNot": [{"hasId": {"ids": ["d"]}}]})").size(),
            1u);
  // d is nearer to the negative example than to the positive one; b is as near to both.
  EXPECT_EQ(recommend(R"("positiveVectors": [{"values": [1, 0]}], "negativeVectors": [{"values": [0, 1]}],
                         "strategy": "RECOMMEND_STRATEGY_BEST_SCORE")"),
            "ab");
  const auto best = RecommendPoints(R"({"collection": "docs", "positive": ["a", "d"],
    "strategy": "RECOMMEND_STRATEGY_BEST_SCORE", "payload": {"none": true}})");
  ASSERT_THAT(best, IsOk());
  EXPECT_EQ(Ids(best), "bc");
  EXPECT_NEAR(best->points(0).score(), std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(best->points(1).score(), 0, 1e-6);
  EXPECT_EQ(recommend(R"("positive": ["a"], "limit": 1, "diversity": {"lambda": 0.9})"), "b");

  const auto refused = [&](const std::string& rest) {
    return RecommendPoints(R"({"collection": "docs", )" + rest + "}").status();
  };
  using absl::StatusCode;
  EXPECT_THAT(refused(R"("negative": ["a"])"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("positive")));
  EXPECT_THAT(refused(R"("positive": ["nobody"])"), StatusIs(StatusCode::kNotFound, HasSubstr("nobody")));
  EXPECT_THAT(refused(R"("positive": ["c"], "vectorName": "pic")"),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("\"c\" has no vector \"pic\"")));
  EXPECT_THAT(refused(R"("positiveVectors": [{"values": [1, 2, 3]}])"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("positive_vectors[0]")));
  EXPECT_THAT(refused(R"("positive": ["a", "d"])"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("cancel out")));
  EXPECT_THAT(refused(R"("positive": ["a"], "limit": 5000)"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("limit")));
}

TEST_F(QueryTest, FiltersByWordsPlacesAndTimes) {
  CreateThings();
  const auto only = [&](const std::string& condition) {
    return Search(R"("vector": [1, 0], "filter": {"must": [)" + condition + "]}");
  };
  EXPECT_EQ(only(R"({"matchText": {"field": "text", "text": "Boats"}})"), "acd");
  EXPECT_EQ(only(R"({"matchText": {"field": "text", "text": "sea boats", "mode": "TEXT_MATCH_ANY"}})"), "abcd");
  EXPECT_EQ(only(R"({"matchText": {"field": "text", "text": "sea ships"}})"), "b");
  EXPECT_EQ(only(R"({"matchText": {"field": "text", "text": "keeper paints", "mode": "TEXT_MATCH_PHRASE"}})"), "a");
  EXPECT_EQ(only(R"({"matchText": {"field": "text", "text": "paints keeper", "mode": "TEXT_MATCH_PHRASE"}})"), "");
  EXPECT_EQ(only(R"({"geoRadius": {"field": "place", "center": {"lat": 52.5, "lon": 13.3}, "radiusM": 20000}})"), "ac");
  EXPECT_EQ(
      only(
          R"({"geoBox": {"field": "place", "topLeft": {"lat": 53, "lon": 0}, "bottomRight": {"lat": 47, "lon": 13.2}}})"),
      "bc");
  EXPECT_EQ(
      only(R"({"geoPolygon": {"field": "place", "exterior": {"points": [{"lat": 45, "lon": 0}, {"lat": 50, "lon": 0},
                    {"lat": 50, "lon": 5}, {"lat": 45, "lon": 5}]}}})"),
      "b");
  EXPECT_EQ(only(R"({"range": {"field": "at", "gte": "2024-06-01T10:00:00Z"}})"), "b");
  EXPECT_EQ(
      only(R"({"filter": {"should": [{"match": {"field": "free", "value": true}}, {"isEmpty": {"field": "free"}}]}})"),
      "acd");
  EXPECT_THAT(SearchError(R"("vector": [1, 0], "filter": {"must": [{"geoRadius": {"field": "place"}}]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("center")));
  EXPECT_THAT(SearchError(R"("vector": [1, 0], "filter": {"must": [{"matchText": {"field": "txt", "text": "x"}}]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean \"text\"")));
}

TEST_F(QueryTest, CountsValues) {
  CreateThings();
  const auto facet = [&](const std::string& rest) -> std::string {
    const auto counts = FacetPoints(R"({"collection": "docs", )" + rest + "}");
    if (!counts.ok()) return counts.status().ToString();
    EXPECT_TRUE(counts->exact());
    std::string out = absl::StrCat(counts->distinct_values());
    for (const pb::FacetCount& count : counts->counts()) {
      absl::StrAppend(&out, " ",
                      count.value().has_string_value() ? count.value().string_value()
                      : count.value().has_bool_value() ? (count.value().bool_value() ? "true" : "false")
                                                       : absl::StrCat(count.value().number_value()),
                      "=", count.count());
    }
    return out;
  };
  EXPECT_EQ(facet(R"("field": "tag")"), "3 x=2 y=2 z=1");
  EXPECT_EQ(facet(R"("field": "tag", "limit": 1)"), "3 x=2");
  EXPECT_EQ(facet(R"("field": "n", "filter": {"must": [{"match": {"field": "tag", "value": "y"}}]})"), "1 2=2");
  EXPECT_EQ(facet(R"("field": "free")"), "2 true=2 false=1");
  EXPECT_THAT(facet(R"("field": "text")"), HasSubstr("keyword, integer and bool"));
  EXPECT_THAT(facet(R"("field": "tga")"), HasSubstr("did you mean"));
  EXPECT_THAT(facet(R"("field": "tag", "limit": 1001)"), HasSubstr("limit"));
}

TEST_F(QueryTest, ChangesOneVectorOrFieldAndKeepsTheRest) {
  CreateThings();
  ASSERT_THAT(UpdatePoints(R"({"collection": "docs", "wait": true, "updates": [
      {"id": "a", "namedVectors": {"pic": {"values": [9, 9]}}, "payload": {"n": 7}},
      {"id": "b", "sparseVectors": {"splade": {"indices": [9], "values": [50]}}, "removeVectors": ["pic"]},
      {"id": "c", "payload": {"text": "trains"}, "replacePayload": true},
      {"id": "nobody", "vector": [1, 1]}]})"),
              IsOk());
  const auto points = GetPoints(R"({"collection": "docs", "ids": ["a", "b", "c", "nobody"], "withVectors": true})");
  ASSERT_THAT(points, IsOk());
  ASSERT_EQ(points->points_size(), 3);
  EXPECT_THAT(points->points(0).vector(), ElementsAre(1, 0));
  EXPECT_THAT(points->points(0).named_vectors().at("pic").values(), ElementsAre(9, 9));
  EXPECT_EQ(points->points(0).payload().fields().at("n").number_value(), 7);
  EXPECT_EQ(points->points(0).payload().fields().at("tag").string_value(), "x");
  EXPECT_FALSE(points->points(1).named_vectors().contains("pic"));
  EXPECT_THAT(points->points(1).vector(), ElementsAre(1, 1));
  EXPECT_EQ(points->points(2).payload().fields().size(), 1u);
  EXPECT_EQ(Search(R"("vector": [9, 9], "vectorName": "pic")"), "a");
  EXPECT_EQ(Search(R"("sparse": {"indices": [9], "values": [1]})"), "bac");
  EXPECT_EQ(Search(R"("text": "train")"), "c");
  EXPECT_EQ(Search(R"("text": "boats")"), "ad");
  EXPECT_EQ(Search(R"("vector": [1, 0], "filter": {"must": [{"match": {"field": "n", "value": 7}}]})"), "a");

  const auto refused = [&](const std::string& update) {
    return UpdatePoints(R"({"collection": "docs", "updates": [{"id": "a", "payload": {"n": 1}}, )" + update + "]}")
        .status();
  };
  using absl::StatusCode;
  EXPECT_THAT(refused(R"({"id": "a"})"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("updates[1]")));
  EXPECT_THAT(refused(R"({"id": "a", "vector": [1]})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("components")));
  EXPECT_THAT(refused(R"({"id": "a", "payload": {"n": "many"}})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("integer")));
  EXPECT_THAT(refused(R"({"id": "a", "removeVectors": ["pics"]})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("pics")));
  EXPECT_THAT(refused(R"({"id": "a", "vector": [1, 1], "removeVectors": [""]})"),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(refused(R"({"id": "a", "sparseVectors": {"words": {"indices": [1], "values": [1]}}})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("text")));
  EXPECT_EQ(GetPoints(R"({"collection": "docs", "ids": ["a"]})")->points(0).payload().fields().at("n").number_value(),
            7);
}

TEST_F(QueryTest, RefusesAMergeThatItsPointCouldNotHold) {
  CreateThings();
  const auto merge = [&](const std::string& field, const std::string& id = "a") {
    return absl::StrCat(R"({"id": ")", id, R"(", "payload": {")", field, R"(": ")", std::string(600'000, 'x'),
                        R"("}})");
  };
  const auto update = [&](const std::string& updates) {
    return UpdatePoints(absl::StrCat(R"({"collection": "docs", "updates": [)", updates, "]}")).status();
  };
  ASSERT_THAT(update(merge("large")), IsOk());
  // At once: what was acknowledged is looked at, applied or not.
  EXPECT_THAT(update(merge("more")), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr("updates[0].payload"), HasSubstr("point \"a\""))));
  EXPECT_THAT(update(absl::StrCat(merge("one", "b"), ", ", merge("two", "b"))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("updates[1].payload")));
  EXPECT_THAT(update(merge("large")), IsOk()) << "takes the place of what was there";
  const auto points = GetPoints(R"({"collection": "docs", "ids": ["a", "b"]})");
  ASSERT_THAT(points, IsOk());
  EXPECT_TRUE(points->points(0).payload().fields().contains("large"));
  EXPECT_FALSE(points->points(0).payload().fields().contains("more"));
  EXPECT_FALSE(points->points(1).payload().fields().contains("one"));
}

TEST_F(QueryTest, SurvivesARestartWithAllItsIndexes) {
  CreateThings();
  const std::vector<std::string> searches = {
      R"("text": "boats")", R"("sparse": {"indices": [9], "values": [1]})",
      R"("vector": [1, 0], "filter": {"must": [{"matchText": {"field": "text", "text": "boats"}}]})"};
  std::vector<std::string> before;
  for (const std::string& search : searches) before.push_back(Search(search));
  Stop();
  Start();
  for (size_t i = 0; i < searches.size(); ++i) EXPECT_EQ(Search(searches[i]), before[i]);
}

TEST_F(QueryTest, BatchesTakeEveryKindOfSearch) {
  CreateThings();
  const auto batch = BatchSearchPoints(R"({"collection": "docs", "searches": [{"text": "boats", "limit": 1},
    {"vector": [1, 0], "groupBy": {"field": "n"}}, {"prefetch": [{"vector": [0, 1]}, {"text": "sea"}], "limit": 1}]})");
  ASSERT_THAT(batch, IsOk());
  EXPECT_EQ(batch->results(0).points(0).id(), "c");
  EXPECT_EQ(Groups(batch->results(1)), "1:a 2:bc 3:d");
  EXPECT_EQ(batch->results(2).points(0).id(), "b");
  EXPECT_THAT(
      BatchSearchPoints(R"({"collection": "docs", "searches": [{"text": "x"}, {"text": "x", "vectorName": "wrds"}]})")
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("searches[1]"), HasSubstr("did you mean \"words\""))));
}

TEST_F(QueryTest, NamesWhatIsWrongWithASearch) {
  CreateThings();
  std::string words = "x";
  for (int i = 0; i < 1100; ++i) absl::StrAppend(&words, " w", i);
  const std::map<std::string, std::string> wrong = {
      {R"("vector": [1, 0], "text": "x")", "exactly one of"},
      {R"("limit": 3)", "exactly one of"},
      {R"("text": "x", "vectorName": "splade")", "no field \\\"splade\\\" made of a text"},
      {R"("text": ")" + std::string(40'000, 'x') + "\"", "32768"},
      {R"("text": ")" + words + "\"", "1024"},
      {R"("sparse": {"indices": [5, 5], "values": [1, 1]})", "not above"},
      {R"("sparse": {"indices": [5], "values": ["NaN"]})", "NaN"},
      {R"("sparse": {"indices": [5, 6], "values": [1]})", "2 indices and 1 values"},
      {R"("sparse": {"indices": [5], "values": [1]}, "vectorName": "words")", "of sparse vectors"},
      {R"("prefetch": [{"vector": [1, 0]}, {}])", "prefetch[1]"},
      {R"("prefetch": [{"vector": [1]}])", "prefetch[0].vector"},
      {R"("prefetch": [{"text": "x", "weight": -1}])", "weight"},
      {R"("prefetch": [{"text": "x", "limit": 20000}])", "11000"},
      {R"("prefetch": [{"text": "x"}], "fusion": {"rrfK": 100000})", "rrf_k"},
      {R"("prefetch": [{"text": "x", "filter": {"must": [{"isEmpty": {"field": "q"}}]}}])", "prefetch[0]"},
      {R"("vector": [1, 0], "diversity": {"lambda": 2})", "0 to 1"},
      {R"("vector": [1, 0], "diversity": {"vectorName": "pix"})", "did you mean \\\"pic\\\""},
      {R"("vector": [1, 0], "diversity": {"candidates": 5000})", "2000"},
      {R"("vector": [1, 0], "diversity": {}, "groupBy": {"field": "tag"})", "combined"},
      {R"("vector": [1, 0], "groupBy": {"field": "text"})", "keyword, integer and bool"},
      {R"("vector": [1, 0], "groupBy": {"field": "tag", "groupSize": 1000})", "group_size"},
      {R"("vector": [1, 0], "groupBy": {"field": "tag"}, "limit": 500)", "groups"},
      {R"("text": "x", "highlight": {"fragmentBytes": 5})", "fragment_bytes"},
      {R"("vector": [1, 0], "scoreThreshold": "NaN")", "score_threshold"},
      {R"("vector": [1, 0], "params": {"ef": 100000})", "ef"},
  };
  for (const auto& [search, message] : wrong) {
    std::string plain = message;
    plain.erase(std::remove(plain.begin(), plain.end(), '\\'), plain.end());
    EXPECT_THAT(SearchError(search), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(plain)))
        << search.substr(0, 100);
  }
  EXPECT_THAT(
      CreateCollection(
          R"({"collection": {"name": "x", "sparse": {"w": {"textField": "t", "text": {"language": "elvish"}}}}})")
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("elvish")));
  EXPECT_THAT(
      UpsertPoints(R"({"collection": "docs", "points": [{"id": "x", "vector": [1, 1], "payload": {"text": 7}}]})")
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("text")));
  EXPECT_THAT(UpsertPoints(R"({"collection": "docs", "points": [{"id": "x", "vector": [1, 1],
                              "payload": {"place": {"lat": 100, "lon": 0}}}]})")
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("geo")));
}

}  // namespace
}  // namespace alcove::vector_search
