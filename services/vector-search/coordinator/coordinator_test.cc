#include "services/vector-search/coordinator/coordinator.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

#include <absl/strings/str_cat.h>

#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/coordinator/validate.h"
#include "services/vector-search/log/placement.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// One process of the cluster, whose answers a test writes down.
class FakeProcess final : public ShardClient {
 public:
  std::map<int32_t, absl::StatusOr<std::vector<FoundPoint>>> found;
  std::map<int32_t, std::vector<StoredPoint>> stored;  // ascending by id
  std::vector<ShardTarget> notified;
  std::vector<SearchQuery> queries;
  std::map<int32_t, SparseStatistics> statistics;
  std::map<int32_t, ShardFacet> facets;
  absl::Status notify_answer;

  void Search(const RequestContext&, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
              Done<std::vector<FoundPoint>> done) override {
    queries.push_back(*query);
    const auto at = found.find(target.shard);
    done(at == found.end() ? absl::StatusOr<std::vector<FoundPoint>>(std::vector<FoundPoint>()) : at->second);
  }
  void Get(const RequestContext&, const ShardTarget& target, GetQuery query,
           Done<std::vector<StoredPoint>> done) override {
    std::vector<StoredPoint> out;
    for (const std::string& id : query.ids) {
      for (const StoredPoint& point : stored[target.shard]) {
        if (point.id == id) out.push_back(point);
      }
    }
    done(std::move(out));
  }
  void Scroll(const RequestContext&, const ShardTarget& target, std::shared_ptr<const ScrollQuery> query,
              Done<std::vector<StoredPoint>> done) override {
    std::vector<StoredPoint> out;
    for (const StoredPoint& point : stored[target.shard]) {
      if (point.id > query->after_id && out.size() < query->limit) out.push_back(point);
    }
    done(std::move(out));
  }
  void Statistics(const RequestContext&, const ShardTarget& target, std::shared_ptr<const SearchQuery>,
                  Done<SparseStatistics> done) override {
    done(statistics[target.shard]);
  }
  void Facet(const RequestContext&, const ShardTarget& target, std::shared_ptr<const FacetQuery>,
             Done<ShardFacet> done) override {
    done(facets[target.shard]);
  }
  void Count(const RequestContext&, const ShardTarget& target, std::shared_ptr<const Filter>,
             Done<int64_t> done) override {
    done(static_cast<int64_t>(stored[target.shard].size()));
  }
  void Notify(const RequestContext&, std::vector<ShardTarget> targets, bool wait,
              absl::AnyInvocable<void(absl::Status)> done) override {
    for (const ShardTarget& target : targets) notified.push_back(target);
    done(wait ? notify_answer : absl::OkStatus());
  }
  void Stats(const RequestContext&, store::CollectionId, Done<std::vector<HostedStats>> done) override {
    std::vector<HostedStats> stats;
    for (const auto& [shard, points] : stored) {
      stats.push_back({shard, static_cast<int64_t>(points.size()), 10, shard + 5, shard + 5});
    }
    done(std::move(stats));
  }
  void RefreshCatalog(const RequestContext&, absl::AnyInvocable<void(absl::Status)> done) override {
    ++refreshed;
    done(absl::OkStatus());
  }
  int refreshed = 0;
  bool InProcess() const override { return false; }
  std::string Name() const override { return "fake"; }
};

class CoordinatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CollectionConfig config;
    config.vectors[""] = {.dimension = 2};
    config.schema["n"] = FieldType::kInteger;
    ALCOVE_ASSERT_OK(coordinator_.CreateCollection(ctx_, "docs", config, 2).status());
  }

  // Every `done` of the fakes comes before the call returns.
  template <typename T>
  static absl::StatusOr<T> Now(const std::function<void(Done<T>)>& call) {
    absl::StatusOr<T> answer = absl::InternalError("never answered");
    call([&](absl::StatusOr<T> result) { answer = std::move(result); });
    return answer;
  }
  absl::StatusOr<SearchReply> Search(SearchCall call) {
    return Now<SearchReply>(
        [&](Done<SearchReply> done) { coordinator_.Search(ctx_, std::move(call), std::move(done)); });
  }
  static SearchCall Query() {
    SearchCall call;
    call.collection = "docs";
    call.query.vector = {1, 0};
    return call;
  }
  static std::vector<std::string> Ids(const SearchReply& reply) {
    std::vector<std::string> ids;
    for (const FoundPoint& point : reply.points) ids.push_back(point.id);
    return ids;
  }

  const testing::TempDir dir_;
  std::unique_ptr<store::Store> store_ = store::Open("sqlite:" + dir_.File("test.db")).value();
  Catalog catalog_{&store_->collections()};
  std::shared_ptr<FakeProcess> a_ = std::make_shared<FakeProcess>();
  std::shared_ptr<FakeProcess> b_ = std::make_shared<FakeProcess>();
  Coordinator coordinator_{{.default_shards = 2}, &catalog_, store_.get(), {a_, b_}, {a_, b_}};
  const RequestContext ctx_{{.tenant = "t"}};
};

TEST_F(CoordinatorTest, MergesByScoreThenIdAndAppliesOffsetAndLimit) {
  a_->found.emplace(0, std::vector<FoundPoint>{{"a", 0.9f, "", {}}, {"d", 0.5f, "", {}}});
  b_->found.emplace(1, std::vector<FoundPoint>{{"b", 0.9f, "", {}}, {"c", 0.7f, "", {}}});
  SearchCall call = Query();
  const auto all = Search(call);
  ASSERT_THAT(all, IsOk());
  EXPECT_THAT(Ids(*all), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(all->asked, 2u);
  EXPECT_EQ(all->answered, 2u);
  EXPECT_EQ(a_->queries.back().limit, 10u);
  call.offset = 1;
  call.query.limit = 2;
  EXPECT_THAT(Ids(*Search(call)), ElementsAre("b", "c"));
  EXPECT_EQ(b_->queries.back().limit, 3u);
  call.offset = 9;
  EXPECT_THAT(Ids(*Search(call)), SizeIs(0));
}

TEST_F(CoordinatorTest, AShardThatDoesNotAnswerFailsTheSearchUnlessItsCallerAllowsParts) {
  a_->found.emplace(0, std::vector<FoundPoint>{{"a", 0.9f, "", {}}});
  b_->found.emplace(1, absl::UnavailableError("connection refused"));
  SearchCall call = Query();
  EXPECT_THAT(Search(call).status(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shard 1")));
  call.allow_partial = true;
  const auto part = Search(call);
  ASSERT_THAT(part, IsOk());
  EXPECT_THAT(Ids(*part), ElementsAre("a"));
  EXPECT_EQ(part->answered, 1u);
  EXPECT_THAT(part->failures, ElementsAre(HasSubstr("connection refused")));
  a_->found.clear();
  a_->found.emplace(0, absl::UnavailableError("also away"));
  EXPECT_THAT(Search(call).status(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(CoordinatorTest, ACollectionDroppedInMidRequestIsNotFound) {
  a_->found.emplace(0, absl::NotFoundError("gone"));
  SearchCall call = Query();
  call.allow_partial = true;
  EXPECT_THAT(Search(call).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("docs")));
  ALCOVE_ASSERT_OK(store_->collections().Delete("t", "docs").status());
  // The catalogue here still knows it, the log does not.
  const auto upsert = Now<WriteReply>([&](Done<WriteReply> done) {
    coordinator_.Upsert(ctx_, {.collection = "docs", .points = {{"p", {{"", {1, 2}}}, ""}}}, std::move(done));
  });
  EXPECT_THAT(upsert.status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("docs")));
}

TEST_F(CoordinatorTest, SearchesByAStoredPointAndLeavesItOut) {
  const int32_t shard = ShardOf("p", 2);
  (shard == 0 ? a_ : b_)->stored[shard] = {{"p", {{"", {0, 1}}}, ""}};
  SearchCall call = Query();
  call.query.vector.clear();
  call.id = "p";
  ASSERT_THAT(Search(call), IsOk());
  EXPECT_THAT(a_->queries.back().vector, ElementsAre(0, 1));
  EXPECT_EQ(b_->queries.back().exclude_id, "p");
  call.id = "nobody";
  EXPECT_THAT(Search(call).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
}

TEST_F(CoordinatorTest, RefusesWhatIsOutOfBoundsNamingTheField) {
  const auto error = [&](auto change) {
    SearchCall call = Query();
    change(call);
    const auto status = Search(std::move(call)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(error([](SearchCall& c) { c.query.vector = {1, 2, 3}; }), HasSubstr("3 components"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.vector = {1, NAN}; }), HasSubstr("NaN"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.vector = {0, 0}; }), HasSubstr("zero vector"));
  EXPECT_THAT(error([](SearchCall& c) { c.id = "p"; }), HasSubstr("exactly one"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.limit = 1001; }), HasSubstr("limit"));
  EXPECT_THAT(error([](SearchCall& c) { c.offset = 10001; }), HasSubstr("offset"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.ef = 10001; }), HasSubstr("ef"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.vector_name = "x"; }), HasSubstr("vector_name"));
  EXPECT_THAT(error([](SearchCall& c) { c.min_sequence = "7:1"; }), HasSubstr("min_sequence"));
  EXPECT_THAT(error([](SearchCall& c) { c.query.filter.must.push_back(IsEmptyCondition{"m"}); }), HasSubstr("\"m\""));
}

TEST_F(CoordinatorTest, AWriteNamesTheShardsItWentToAndTellsThem) {
  UpsertCall call{.collection = "docs"};
  for (int i = 0; i < 20; ++i) call.points.push_back({absl::StrCat("p", i), {{"", {1, 2}}}, ""});
  a_->notified.clear();
  b_->notified.clear();
  const auto reply = Now<WriteReply>([&](Done<WriteReply> done) { coordinator_.Upsert(ctx_, call, std::move(done)); });
  ASSERT_THAT(reply, IsOk());
  const ShardSequences sequences = ParseSequenceToken(reply->sequence, {2, 1}).value().sequences;
  ASSERT_THAT(sequences, SizeIs(2));
  EXPECT_EQ(sequences[0].second + sequences[1].second, 20);
  EXPECT_EQ(a_->notified.at(0).min_sequence, sequences[0].second);
  EXPECT_EQ(b_->notified.at(0).min_sequence, sequences[1].second);

  call.wait = true;
  b_->notify_answer = absl::DeadlineExceededError("still applying");
  const auto late = Now<WriteReply>([&](Done<WriteReply> done) { coordinator_.Upsert(ctx_, call, std::move(done)); });
  EXPECT_THAT(late.status(), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("durable")));
}

TEST_F(CoordinatorTest, ScrollsThroughAllShardsInOrderOfId) {
  a_->stored[0] = {{"a", {}, ""}, {"d", {}, ""}, {"e", {}, ""}};
  b_->stored[1] = {{"b", {}, ""}, {"c", {}, ""}};
  std::string token;
  std::string seen;
  int pages = 0;
  do {
    const auto page = Now<ScrollReply>([&](Done<ScrollReply> done) {
      coordinator_.Scroll(ctx_, {.collection = "docs", .page_size = 2, .page_token = token}, std::move(done));
    });
    ASSERT_THAT(page, IsOk());
    for (const StoredPoint& point : page->points) seen += point.id;
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(seen, "abcde");
  EXPECT_EQ(pages, 3);
}

TEST_F(CoordinatorTest, TenantsDoNotSeeOneAnother) {
  const RequestContext other{{.tenant = "u"}};
  const auto view = Now<CollectionView>(
      [&](Done<CollectionView> done) { coordinator_.GetCollection(other, "docs", std::move(done)); });
  EXPECT_THAT(view.status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(coordinator_.DeleteCollection(other, "docs"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(TenantOf(RequestContext()), "default");
}

TEST_F(CoordinatorTest, RefusesMoreShardsThanTheClusterHas) {
  CollectionConfig config;
  config.vectors[""] = {.dimension = 2};
  EXPECT_THAT(coordinator_.CreateCollection(ctx_, "wide", config, 3).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("shard_count")));
  EXPECT_THAT(coordinator_.CreateCollection(ctx_, "docs", config, 2).status(),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(ValidatePoints, NamesThePointThatIsWrong) {
  CollectionConfig config;
  config.vectors[""] = {.dimension = 2};
  config.vectors["t"] = {.dimension = 1, .metric = Metric::kDot};
  config.schema["n"] = FieldType::kInteger;
  const auto error = [&](const StoredPoint& point) {
    const std::vector<StoredPoint> points = {{"good", {{"", {1, 2}}, {"t", {0}}}, ""}, point};
    return std::string(ValidatePoints(config, points).message());
  };
  EXPECT_EQ(error({"p", {{"t", {3}}}, ""}), "");
  EXPECT_THAT(error({"", {{"", {1, 2}}}, ""}), HasSubstr("points[1].id"));
  EXPECT_THAT(error({std::string(257, 'x'), {{"", {1, 2}}}, ""}), HasSubstr("257 bytes"));
  EXPECT_THAT(error({"p", {}, ""}), HasSubstr("no vector"));
  EXPECT_THAT(error({"p", {{"", {1}}}, ""}), HasSubstr("points[1].vector"));
  EXPECT_THAT(error({"p", {{"", {1, INFINITY}}}, ""}), HasSubstr("infinite"));
  EXPECT_THAT(error({"p", {{"", {0, 0}}}, ""}), HasSubstr("zero vector"));
  EXPECT_THAT(error({"p", {{"u", {0, 0}}}, ""}), HasSubstr("named_vectors[\"u\"]"));
  EXPECT_THAT(error({"p", {{"", {1, 2}}, {"", {1, 2}}}, ""}), HasSubstr("twice"));
  EXPECT_FALSE(ValidatePoints(config, {}).ok());
  EXPECT_FALSE(ValidatePoints(config, std::vector<StoredPoint>(10'001)).ok());
}

}  // namespace
}  // namespace alcove::vector_search
