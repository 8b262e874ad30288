#include "services/vector-search/shard/shard.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/shard/operations_for_test.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kDim = 8;

ShardOptions Options(Metric metric = Metric::kL2) {
  ShardOptions options;
  options.address = {7, 1, 0};
  options.identity = "t/docs@1";
  options.config.vectors[""] = {
      .dimension = kDim, .metric = metric, .m = 8, .ef_construction = 64, .codes = Codes::kF32};
  options.config.schema = {{"n", FieldType::kInteger}, {"tag", FieldType::kKeyword}};
  return options;
}

std::unique_ptr<Shard> Make(ShardOptions options = Options()) {
  auto shard = Shard::Create(std::move(options));
  EXPECT_THAT(shard, IsOk());
  return *std::move(shard);
}

std::vector<float> RandomVector(std::mt19937& rng) {
  std::normal_distribution<float> normal;
  std::vector<float> v(kDim);
  for (float& x : v) x = normal(rng);
  return v;
}

Filter TagIs(const std::string& tag) {
  Filter filter;
  filter.must.push_back(MatchCondition{"tag", {Literal(tag)}});
  return filter;
}

struct ModelPoint {
  std::vector<float> vector;
  std::string payload;
};
using Model = std::map<std::string, ModelPoint>;

std::vector<std::string> BruteForce(const Model& model, const ShardOptions& options, const SearchQuery& query) {
  const FieldList fields(options.config);
  const FilterPlan plan = PlanFilter(options.config, fields, query.filter).value();
  std::vector<FoundPoint> all;
  for (const auto& [id, point] : model) {
    if (id == query.exclude_id || !MatchesPoint(plan, fields, id, point.payload)) continue;
    float score = 0;
    for (size_t i = 0; i < kDim; ++i)
      score -= (point.vector[i] - query.vector[i]) * (point.vector[i] - query.vector[i]);
    all.push_back({id, score, "", {}});
  }
  std::sort(all.begin(), all.end(), RanksBefore);
  std::vector<std::string> ids;
  for (size_t i = 0; i < std::min<size_t>(query.limit, all.size()); ++i) ids.push_back(all[i].id);
  return ids;
}

std::vector<std::string> Ids(const absl::StatusOr<std::vector<FoundPoint>>& found) {
  EXPECT_THAT(found, IsOk());
  std::vector<std::string> ids;
  if (found.ok()) {
    for (const FoundPoint& point : *found) ids.push_back(point.id);
  }
  return ids;
}

void ExpectEqual(const Shard& shard, const Model& model, std::mt19937& rng) {
  ASSERT_EQ(shard.Size().points, static_cast<int64_t>(model.size()));
  for (const char* tag : {"", "a", "b", "none"}) {
    SearchQuery query;
    query.vector = RandomVector(rng);
    query.limit = 7;
    query.exact = true;
    if (*tag != 0) query.filter = TagIs(tag);
    if (rng() % 2 && !model.empty()) query.exclude_id = model.begin()->first;
    EXPECT_EQ(Ids(shard.Search({}, query)), BruteForce(model, shard.options(), query));
  }
  std::string after;
  auto at = model.begin();
  while (true) {
    const auto page = shard.Scroll({.after_id = after, .limit = 13, .with_vectors = true});
    ASSERT_THAT(page, IsOk());
    for (const StoredPoint& point : *page) {
      ASSERT_NE(at, model.end());
      EXPECT_EQ(point.id, at->first);
      EXPECT_EQ(point.payload, at->second.payload);
      ASSERT_EQ(point.vectors.size(), 1u);
      EXPECT_EQ(point.vectors[0].values, at->second.vector);
      ++at;
    }
    if (page->size() < 13) break;
    after = page->back().id;
  }
  EXPECT_EQ(at, model.end());
}

// Random writes to a shard and to the model.
void Churn(Shard& shard, Model& model, std::mt19937& rng, int operations) {
  Operations ops(shard.applied_sequence() + 1);
  for (int i = 0; i < operations; ++i) {
    const std::string id = absl::StrCat("id", rng() % 300);
    const std::string payload = TestPayload(static_cast<int64_t>(rng() % 50), rng() % 2 ? "a" : "b");
    switch (rng() % 6) {
      case 0:
      case 1:
      case 2: {
        auto vector = RandomVector(rng);
        ops.Upsert(id, vector, payload);
        model[id] = {std::move(vector), payload};
        break;
      }
      case 3:
      case 4:
        ops.Delete(id);
        model.erase(id);
        break;
      default:
        ops.SetPayload(id, payload, rng() % 2 ? PayloadMode::kReplace : PayloadMode::kMerge);
        if (model.contains(id)) model[id].payload = payload;
    }
  }
  ASSERT_THAT(shard.Apply(ops.all()), IsOk());
  ASSERT_EQ(shard.applied_sequence(), ops.next() - 1);
}

TEST(Shard, EqualsABruteForceModelThroughRandomWrites) {
  std::mt19937 rng(11);
  auto shard = Make();
  Model model;
  for (int round = 0; round < 40; ++round) {
    Churn(*shard, model, rng, 100);
    ExpectEqual(*shard, model, rng);
  }
}

TEST(Shard, ApplyingOperationsAgainChangesNothing) {
  std::mt19937 rng(12);
  auto shard = Make();
  Operations ops;
  ops.Upsert("a", RandomVector(rng), TestPayload(1, "a")).Upsert("b", RandomVector(rng)).Delete("a");
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  const uint64_t changes = shard->changes();
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_EQ(shard->changes(), changes);
  EXPECT_EQ(shard->Size().points, 1);
}

TEST(Shard, TellsWhatIsAppliedOnlyWhenItCanBeFound) {
  std::mt19937 rng(13);
  ShardOptions options = Options();
  Shard* made = nullptr;
  store::Sequence last = 0;
  options.on_applied = [&](store::Sequence sequence) {
    EXPECT_GT(sequence, last);
    last = sequence;
    // Point n was written by record n.
    EXPECT_EQ(made->Get({.ids = {absl::StrCat(sequence)}})->size(), 1u);
  };
  auto shard = Make(std::move(options));
  made = shard.get();
  Operations ops;
  for (int i = 1; i <= 1000; ++i) ops.Upsert(absl::StrCat(i), RandomVector(rng));
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_EQ(last, 1000);
}

TEST(Shard, PassesOverRecordsThatDoNotFitAndCountsThem) {
  auto shard = Make(Options(Metric::kCosine));
  Operations ops;
  ops.Upsert("short", {1, 2}).Upsert("nan", std::vector<float>(kDim, std::nanf("")));
  ops.Upsert("zero", std::vector<float>(kDim, 0)).Upsert("unknown", std::vector<float>(kDim, 1), "", "other");
  ops.Upsert("garbage", std::vector<float>(kDim, 1), std::string("\0x", 2)).Upsert("good", std::vector<float>(kDim, 1));
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  EXPECT_EQ(shard->bad_records(), 5u);
  EXPECT_EQ(shard->Size().points, 1);
  EXPECT_EQ(shard->applied_sequence(), 6);
}

TEST(Shard, RefusesQueriesThatDoNotFit) {
  auto shard = Make();
  SearchQuery query;
  query.vector = {1, 2, 3};
  EXPECT_THAT(shard->Search({}, query).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  query.vector.assign(kDim, 1);
  query.vector_name = "title";
  EXPECT_THAT(shard->Search({}, query).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("title")));
  query.vector_name = "";
  query.filter = TagIs("x");
  std::get<MatchCondition>(query.filter.must[0]).field = "nope";
  EXPECT_THAT(shard->Search({}, query).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nope")));
  const RequestContext late = RequestContext().WithDeadline(absl::Now() - absl::Seconds(1));
  EXPECT_THAT(shard->Search(late, {}).status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Shard, SelectsPayloadThresholdAndVectors) {
  auto shard = Make();
  Operations ops;
  std::vector<float> near(kDim, 1), far(kDim, 3);
  ops.Upsert("near", near, TestPayload(1, "a")).Upsert("far", far, TestPayload(2, "b"));
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  SearchQuery query;
  query.vector = near;
  query.payload.include = {"tag"};
  query.with_vectors = true;
  query.score_threshold = -1.0f;
  const auto found = shard->Search({}, query);
  ASSERT_THAT(Ids(found), ElementsAre("near"));
  EXPECT_EQ((*found)[0].vector, near);
  EXPECT_EQ((*found)[0].score, 0.0f);
  EXPECT_FALSE(FindPath((*found)[0].payload, "n").has_value());
  EXPECT_EQ(FindPath((*found)[0].payload, "tag")->string(), "a");
  EXPECT_EQ(shard->Count(TagIs("b")).value(), 1);
  EXPECT_THAT(shard->MatchingIds(TagIs("a"), "", 10).value(), ElementsAre("near"));
}

TEST(Shard, NamedVectorsComeAndGoWithTheirPoint) {
  ShardOptions options = Options();
  options.config.vectors["title"] = {.dimension = 2, .metric = Metric::kDot, .m = 8, .codes = Codes::kF32};
  auto shard = Make(std::move(options));
  Operations ops;
  ops.Upsert("a", {1, 0}, "", "title").Upsert("b", std::vector<float>(kDim, 1));
  ASSERT_THAT(shard->Apply(ops.all()), IsOk());
  SearchQuery title;
  title.vector = {1, 1};
  title.vector_name = "title";
  EXPECT_THAT(Ids(shard->Search({}, title)), ElementsAre("a"));
  Operations more(3);
  more.Upsert("a", std::vector<float>(kDim, 2)).Upsert("b", {0, 5}, "", "title");
  ASSERT_THAT(shard->Apply(more.all()), IsOk());
  EXPECT_THAT(Ids(shard->Search({}, title)), ElementsAre("b"));
  const auto points = shard->Get({.ids = {"a", "b", "c"}, .with_vectors = true});
  ASSERT_EQ(points->size(), 2u);
  EXPECT_EQ((*points)[0].vectors[0].name, "");
  EXPECT_EQ((*points)[1].vectors[0].name, "title");
}

TEST(Shard, ASnapshotHoldsExactlyWhatTheShardHeld) {
  const testing::TempDir dir;
  std::mt19937 rng(14);
  auto shard = Make();
  Model model;
  for (int round = 0; round < 8; ++round) {
    Churn(*shard, model, rng, 150);
    auto writer = SnapshotWriter::Create(dir.File("s"));
    ASSERT_THAT(shard->SaveTo(*writer), testing::IsOkAndHolds(shard->applied_sequence()));
    ASSERT_THAT(writer->Commit(), IsOk());
    auto loaded = Shard::Load(Options(), dir.File("s"));
    ASSERT_THAT(loaded, IsOk());
    EXPECT_EQ((*loaded)->applied_sequence(), shard->applied_sequence());
    ExpectEqual(**loaded, model, rng);
    // And it lives on: rows are taken up where the snapshot left them.
    shard = *std::move(loaded);
  }
}

TEST(Shard, ASnapshotOfSomethingElseIsNotLoaded) {
  const testing::TempDir dir;
  std::mt19937 rng(15);
  auto shard = Make();
  Model model;
  Churn(*shard, model, rng, 50);
  auto writer = SnapshotWriter::Create(dir.File("s"));
  ASSERT_THAT(shard->SaveTo(*writer), IsOk());
  ASSERT_THAT(writer->Commit(), IsOk());
  const auto load = [&](auto change) {
    ShardOptions options = Options();
    change(options);
    return Shard::Load(std::move(options), dir.File("s")).status();
  };
  EXPECT_THAT(load([](ShardOptions&) {}), IsOk());
  EXPECT_THAT(load([](ShardOptions& o) { o.address.shard = 1; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(load([](ShardOptions& o) { o.identity = "t/docs@2"; }), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(load([](ShardOptions& o) { o.config.vectors[""].m = 32; }),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("settings")));
  // Payload indexes are made anew, so another schema is no reason to rebuild.
  EXPECT_THAT(load([](ShardOptions& o) { o.config.schema["tag2"] = FieldType::kBool; }), IsOk());
}

TEST(Shard, StartsAgainFromNothingAfterAReset) {
  std::mt19937 rng(16);
  auto shard = Make();
  Model model;
  Churn(*shard, model, rng, 200);
  ASSERT_THAT(shard->Reset(), IsOk());
  EXPECT_EQ(shard->applied_sequence(), 0);
  model.clear();
  Churn(*shard, model, rng, 200);
  ExpectEqual(*shard, model, rng);
}

// The invariant readers rely on while the applier works: every point found matches the filter asked for, has the
// payload of its id, and comes once.
TEST(Shard, ServesReadersWhileItIsWrittenAndSnapshotted) {
  const testing::TempDir dir;
  ShardOptions options = Options();
  options.config.vectors[""].codes = Codes::kInt8;
  auto shard = Make(std::move(options));
  std::atomic<bool> stop{false};
  std::atomic<int> searches{0};
  std::vector<std::thread> readers;
  for (uint32_t seed = 0; seed < 3; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937 rng(seed);
      while (!stop.load()) {
        SearchQuery query;
        query.vector = RandomVector(rng);
        query.limit = 10;
        query.with_vectors = rng() % 4 == 0;
        const char* tag = rng() % 2 ? "a" : "b";
        if (rng() % 2) query.filter = TagIs(tag);
        const auto found = shard->Search({}, query);
        ASSERT_THAT(found, IsOk());
        std::vector<std::string> ids;
        for (const FoundPoint& point : *found) {
          ids.push_back(point.id);
          // The payload's number repeats the id.
          ASSERT_EQ(absl::StrCat("id", FindPath(point.payload, "n")->integer()), point.id);
          if (!query.filter.empty()) {
            ASSERT_EQ(FindPath(point.payload, "tag")->string(), tag);
          }
        }
        std::sort(ids.begin(), ids.end());
        ASSERT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
        ASSERT_THAT(shard->Count(TagIs("a")), IsOk());
        ASSERT_THAT(shard->Scroll({.after_id = "id5", .limit = 5, .filter = TagIs("a"), .with_vectors = true}), IsOk());
        searches.fetch_add(1);
      }
    });
  }
  std::mt19937 rng(99);
  for (int round = 0; round < 30 || searches.load() < 300; ++round) {
    Operations ops(shard->applied_sequence() + 1);
    for (int i = 0; i < 60; ++i) {
      const uint32_t n = rng() % 200;
      const std::string id = absl::StrCat("id", n);
      if (rng() % 3 == 0) {
        ops.Delete(id);
      } else {
        ops.Upsert(id, RandomVector(rng), TestPayload(n, rng() % 2 ? "a" : "b"));
      }
    }
    ASSERT_THAT(shard->Apply(ops.all()), IsOk());
    if (round % 10 == 0) {
      auto writer = SnapshotWriter::Create(dir.File("s"));
      ASSERT_THAT(shard->SaveTo(*writer), IsOk());
    }
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace alcove::vector_search
