// Sparse fields, facets and changes of single vectors of one shard.
#include <map>
#include <optional>
#include <random>
#include <set>

#include <absl/strings/str_cat.h>

#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/shard/operations_for_test.h"
#include "services/vector-search/shard/shard.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ShardOptions Options() {
  ShardOptions options;
  options.address = {7, 1, 0};
  options.identity = "t/docs@1";
  options.config.vectors["dense"] = {.dimension = 2, .metric = Metric::kL2, .m = 8, .codes = Codes::kF32};
  options.config.sparse["words"] = {.text_field = "text", .text = {.language = "english"}};
  options.config.sparse["splade"] = {};
  options.config.schema = {{"tag", FieldType::kKeyword}, {"n", FieldType::kInteger}, {"text", FieldType::kText}};
  return options;
}

std::unique_ptr<Shard> Make() { return Shard::Create(Options()).value(); }

std::string Payload(const std::string& text, const std::string& tag, int64_t n) {
  PayloadBuilder b;
  b.BeginObject();
  b.Key("n");
  b.Integer(n);
  b.Key("tag");
  b.String(tag);
  b.Key("text");
  b.String(text);
  b.EndObject();
  return std::move(b).Finish().value();
}

SearchQuery Words(const std::string& text) {
  SearchQuery query;
  query.text = text;
  query.vector_name = "words";
  query.limit = 1000;
  return query;
}

SearchQuery Splade(SparseComponents components) {
  SearchQuery query;
  query.sparse = std::move(components);
  query.vector_name = "splade";
  query.limit = 1000;
  return query;
}

Filter TagIs(const std::string& tag) {
  Filter filter;
  filter.must.push_back(MatchCondition{"tag", {Literal(tag)}});
  return filter;
}

std::vector<std::pair<std::string, float>> Scores(const Shard& shard, const SearchQuery& query) {
  const auto found = shard.Search({}, query);
  EXPECT_THAT(found, IsOk());
  std::vector<std::pair<std::string, float>> out;
  for (const FoundPoint& point : *found) out.emplace_back(point.id, point.score);
  return out;
}

std::vector<std::string> Ids(const Shard& shard, const SearchQuery& query) {
  std::vector<std::string> out;
  for (const auto& [id, score] : Scores(shard, query)) out.push_back(id);
  return out;
}

struct ModelPoint {
  std::string text, tag;
  int64_t n = 0;
  SparseComponents splade;
};

class RandomPoints {
 public:
  std::string Text() {
    std::string out;
    for (size_t n = rng_() % 8; n > 0; --n) absl::StrAppend(&out, "word", rng_() % 5 * (rng_() % 5), " ");
    return out;
  }
  ModelPoint Point() { return {Text(), rng_() % 2 ? "a" : "b", static_cast<int64_t>(rng_() % 4), Components()}; }
  SparseComponents Components() {
    SparseComponents out;
    for (uint32_t i = 0; i < 12; ++i) {
      if (rng_() % 4 != 0) continue;
      out.indices.push_back(i * 1000);
      out.values.push_back(static_cast<float>(rng_() % 100) / 16);
    }
    return out;
  }
  uint32_t Next() { return rng_(); }

 private:
  std::mt19937 rng_{5};
};

void Upsert(Operations& ops, const std::string& id, const ModelPoint& p) {
  ops.UpsertBare(id, Payload(p.text, p.tag, p.n));
  if (!p.splade.empty()) ops.Sparse("splade", p.splade.indices, p.splade.values);
}

// A shard that never saw anything but the points as they are now.
std::unique_ptr<Shard> Fresh(const std::map<std::string, ModelPoint>& model) {
  auto shard = Make();
  Operations ops;
  for (const auto& [id, point] : model) Upsert(ops, id, point);
  EXPECT_THAT(shard->Apply(ops.all()), IsOk());
  return shard;
}

void ExpectEqual(const Shard& shard, const Shard& fresh, RandomPoints& random) {
  for (int i = 0; i < 5; ++i) {
    for (SearchQuery query : {Words(random.Text() + " word1"), Splade(random.Components())}) {
      if (query.text.empty() && query.sparse.empty()) continue;
      ASSERT_EQ(Scores(shard, query), Scores(fresh, query));
      ASSERT_EQ(shard.Statistics(query)->frequencies, fresh.Statistics(query)->frequencies);
      query.filter = TagIs("a");
      ASSERT_EQ(Scores(shard, query), Scores(fresh, query));
    }
  }
  for (const char* field : {"tag", "n"}) {
    for (const Filter& filter : {Filter(), TagIs("b")}) {
      ASSERT_EQ(*shard.Facet({.field = field, .filter = filter}), *fresh.Facet({.field = field, .filter = filter}));
    }
  }
}

TEST(ShardSparse, EqualsAFreshShardThroughRandomWritesAndSnapshots) {
  const testing::TempDir dir;
  RandomPoints random;
  auto shard = Make();
  std::map<std::string, ModelPoint> model;
  for (int round = 0; round < 12; ++round) {
    Operations ops(shard->applied_sequence() + 1);
    for (int i = 0; i < 120; ++i) {
      const std::string id = absl::StrCat("id", random.Next() % 150);
      const auto at = model.find(id);
      switch (random.Next() % 6) {
        case 0:
          ops.Delete(id);
          model.erase(id);
          break;
        case 1: {
          const ModelPoint p = random.Point();
          ops.SetPayload(id, Payload(p.text, p.tag, p.n), PayloadMode::kReplace);
          if (at != model.end()) at->second = {p.text, p.tag, p.n, at->second.splade};
          break;
        }
        case 2: {
          const SparseComponents components = random.Components();
          ops.SetVectors(id).Sparse("splade", components.indices, components.values);
          if (at != model.end()) at->second.splade = components;
          break;
        }
        case 3:
          ops.SetVectors(id, {"splade", "dense"});
          if (at != model.end()) at->second.splade = {};
          break;
        default: {
          const ModelPoint p = random.Point();
          Upsert(ops, id, p);
          model[id] = p;
        }
      }
    }
    ASSERT_THAT(shard->Apply(ops.all()), IsOk());
    ASSERT_EQ(shard->bad_records(), 0u);
    const auto fresh = Fresh(model);
    ExpectEqual(*shard, *fresh, random);
    if (round % 3 != 2) continue;
    auto writer = SnapshotWriter::Create(dir.File("s"));
    ASSERT_THAT(shard->SaveTo(*writer), IsOk());
    ASSERT_THAT(writer->Commit(), IsOk());
    auto loaded = Shard::Load(Options(), dir.File("s"));
    ASSERT_THAT(loaded, IsOk());
    shard = *std::move(loaded);
    ExpectEqual(*shard, *fresh, random);
  }
}

TEST(ShardSparse, UpdatesOneVectorAndLeavesTheOthers) {
  auto shard = Make();
  Operations ops;
  ops.Upsert("a", {1, 0}, Payload("red fox", "x", 1), "dense").Sparse("splade", {1, 5}, {1, 2});
  ops.Upsert("b", {5, 5}, Payload("blue fox", "x", 2), "dense").Sparse("splade", {5}, {1});
  ops.SetVectors("a").Dense("dense", {9, 9});
  ops.SetVectors("b").Sparse("splade", {7}, {3});
  ops.SetVectors("nobody").Dense("dense", {0, 0});
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_EQ(shard->bad_records(), 0u);
  SearchQuery dense;
  dense.vector_name = "dense";
  dense.vector = {9, 9};
  EXPECT_THAT(Ids(*shard, dense), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(*shard, Splade({{5}, {1}})), ElementsAre("a"));
  EXPECT_THAT(Ids(*shard, Splade({{7}, {1}})), ElementsAre("b"));
  EXPECT_THAT(Ids(*shard, Words("foxes")), ElementsAre("a", "b"));
  const auto points = shard->Get({.ids = {"a"}, .with_vectors = true});
  ASSERT_THAT(points, IsOk());
  ASSERT_EQ((*points)[0].sparse.size(), 1u);
  EXPECT_EQ((*points)[0].sparse[0].name, "splade");
  EXPECT_EQ((*points)[0].sparse[0].components, (SparseComponents{{1, 5}, {1, 2}}));
  EXPECT_EQ((*points)[0].vectors[0].values, (std::vector<float>{9, 9}));
  Operations more(6);
  more.SetVectors("a", {"dense", "splade"});
  ASSERT_THAT(shard->Apply(more.all()), IsOk());
  EXPECT_THAT(Ids(*shard, dense), ElementsAre("b"));
  EXPECT_THAT(Ids(*shard, Splade({{5}, {1}})), IsEmpty());
  EXPECT_THAT(Ids(*shard, Words("red")), ElementsAre("a"));
}

TEST(ShardSparse, PassesOverRecordsThatDoNotFit) {
  auto shard = Make();
  Operations ops;
  ops.UpsertBare("order", Payload("x", "x", 1)).Sparse("splade", {5, 1}, {1, 1});
  ops.UpsertBare("nan", Payload("x", "x", 1)).Sparse("splade", {5}, {std::nanf("")});
  ops.UpsertBare("unknown", Payload("x", "x", 1)).Sparse("other", {5}, {1});
  ops.UpsertBare("text", Payload("x", "x", 1)).Sparse("words", {5}, {1});
  ops.UpsertBare("good", Payload("x", "x", 1)).Sparse("splade", {5}, {1});
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_EQ(shard->bad_records(), 4u);
  EXPECT_THAT(Ids(*shard, Splade({{5}, {1}})), ElementsAre("good"));
}

TEST(ShardSparse, RefusesQueriesOfTheWrongKind) {
  auto shard = Make();
  SearchQuery query = Words("x");
  query.vector_name = "splade";
  EXPECT_THAT(shard->Search({}, query).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sparse vector")));
  query = Splade({{1}, {1}});
  query.vector_name = "words";
  EXPECT_THAT(shard->Search({}, query).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("by a text")));
  EXPECT_THAT(shard->Statistics(query).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(shard->Facet({.field = "tga"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean \"tag\"")));
  EXPECT_THAT(shard->Facet({.field = "text"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("text")));
}

TEST(ShardSparse, CountsMemoryOfWhatItHolds) {
  auto shard = Make();
  const int64_t empty = shard->Size().memory_bytes;
  RandomPoints random;
  Operations ops;
  for (int i = 0; i < 2000; ++i) Upsert(ops, absl::StrCat("id", i), random.Point());
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_GT(shard->Size().memory_bytes, empty + 2000 * 100);
  ASSERT_THAT(shard->Reset(), IsOk());
  EXPECT_LT(shard->Size().memory_bytes, empty + 100'000);
  EXPECT_THAT(Ids(*shard, Words("word1")), IsEmpty());
}

}  // namespace
}  // namespace alcove::vector_search
