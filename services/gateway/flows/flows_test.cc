#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <boost/asio/post.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "alcove/cache/v1/cache.pb.h"
#include "alcove/inference/v1/inference.pb.h"
#include "libs/common/status.h"
#include "libs/testing/fake_clock.h"
#include "services/gateway/flows/collection_setup.h"
#include "services/gateway/flows/documents.h"
#include "services/gateway/flows/fake_backends.h"
#include "services/gateway/flows/parallel.h"
#include "services/gateway/flows/suite_status.h"

namespace alcove::gateway {
namespace {

namespace cache = alcove::cache::v1;
namespace inference = alcove::inference::v1;
namespace vector = alcove::vector::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small suite: one collection "docs" with the model "mini" of dimension 2, whose vector of a text is its length and
// 1; a search finds every stored point; the cache is a map.
class FlowsTest : public ::testing::Test {
 protected:
  FlowsTest() {
    RequestContext::Identity identity;
    identity.tenant = "acme";
    ctx_ = RequestContext(std::move(identity));
    backends_.On<inference::ListModelsRequest, inference::ListModelsResponse>(
        methods::kListModels, [](const RequestContext&, const inference::ListModelsRequest&) {
          inference::ListModelsResponse reply;
          auto* model = reply.add_models();
          model->set_name("mini");
          model->set_task(inference::MODEL_TASK_EMBED);
          model->set_dimension(2);
          model->set_is_default(true);
          return reply;
        });
    backends_.On<inference::EmbedRequest, inference::EmbedResponse>(
        methods::kEmbed, [](const RequestContext&, const inference::EmbedRequest& request) {
          inference::EmbedResponse reply;
          for (const std::string& text : request.texts()) {
            auto* embedding = reply.add_embeddings();
            embedding->add_values(static_cast<float>(text.size()));
            embedding->add_values(1);
          }
          reply.set_prompt_tokens(request.texts_size());
          return reply;
        });
    backends_.On<vector::GetCollectionRequest, vector::GetCollectionResponse>(
        methods::kGetCollection,
        [this](const RequestContext&,
               const vector::GetCollectionRequest& request) -> absl::StatusOr<vector::GetCollectionResponse> {
          if (request.name() != "docs" && request.name() != "vectors") return NotFound("collection", request.name());
          vector::GetCollectionResponse reply;
          reply.mutable_collection()->set_name(request.name());
          if (request.name() == "docs") reply.mutable_collection()->set_embedding_model("mini");
          if (request.name() == "docs" && text_index_) {
            (*reply.mutable_collection()->mutable_sparse())["words"].set_text_field("text");
          }
          return reply;
        });
    backends_.On<vector::UpsertPointsRequest, vector::UpsertPointsResponse>(
        methods::kUpsertPoints, [this](const RequestContext& ctx, const vector::UpsertPointsRequest& request) {
          EXPECT_EQ(ctx.tenant(), "acme");
          stored_ = request;
          vector::UpsertPointsResponse reply;
          reply.set_sequence("0:7");
          return reply;
        });
    backends_.On<vector::SearchPointsRequest, vector::SearchPointsResponse>(
        methods::kSearchPoints,
        [this](const RequestContext&,
               const vector::SearchPointsRequest& request) -> absl::StatusOr<vector::SearchPointsResponse> {
          if (!search_error_.ok()) return search_error_;
          searched_ = request;
          vector::SearchPointsResponse reply;
          for (const vector::Point& point : stored_.points()) {
            auto* found = reply.add_points();
            found->set_id(point.id());
            found->set_score(0.5f);
            *found->mutable_payload() = point.payload();
          }
          reply.mutable_shards()->set_asked(2);
          reply.mutable_shards()->set_answered(answered_);
          return reply;
        });
  }

  void AddCache() {
    backends_.On<cache::GetRequest, cache::GetResponse>(
        methods::kCacheGet, [this](const RequestContext&, const cache::GetRequest& request) {
          cache::GetResponse reply;
          const auto it = cached_.find(request.key().namespace_() + "/" + request.key().key());
          if (it != cached_.end()) {
            reply.set_outcome(cache::OUTCOME_HIT);
            reply.set_value(it->second);
          } else if (request.single_flight()) {
            reply.set_outcome(cache::OUTCOME_MISS_LEADER);
            reply.set_lease("lease");
          } else {
            reply.set_outcome(cache::OUTCOME_MISS);
          }
          return reply;
        });
    backends_.On<cache::PutRequest, cache::PutResponse>(
        methods::kCachePut, [this](const RequestContext& ctx, const cache::PutRequest& request) {
          EXPECT_EQ(ctx.tenant(), "acme");
          const auto& key = request.entry().key();
          cached_[key.namespace_() + "/" + key.key()] = request.entry().value();
          for (const std::string& tag : request.entry().tags()) tags_.push_back(tag);
          return cache::PutResponse();
        });
    backends_.On<cache::ReleaseRequest, cache::ReleaseResponse>(
        methods::kCacheRelease, [](const RequestContext&, const cache::ReleaseRequest& request) {
          EXPECT_EQ(request.lease(), "lease");
          return cache::ReleaseResponse();
        });
    backends_.On<cache::InvalidateTagsRequest, cache::InvalidateTagsResponse>(
        methods::kCacheInvalidate, [this](const RequestContext&, const cache::InvalidateTagsRequest& request) {
          EXPECT_THAT(request.tags(), ElementsAre("collection:acme/docs"));
          std::erase_if(cached_, [](const auto& entry) { return entry.first.starts_with("search/"); });
          return cache::InvalidateTagsResponse();
        });
  }

  absl::StatusOr<v1::UpsertDocumentsResponse> Upsert(std::vector<std::string> texts, std::string collection = "docs") {
    v1::UpsertDocumentsRequest request;
    request.set_collection(std::move(collection));
    for (std::string& text : texts) request.add_documents()->set_text(std::move(text));
    return Await(io_, UpsertDocuments(env_, ctx_, request));
  }
  absl::StatusOr<v1::SearchResponse> Search(v1::CacheMode mode = v1::CACHE_MODE_UNSPECIFIED,
                                            std::string sequence = "") {
    v1::SearchRequest request;
    request.set_collection("docs");
    request.set_query("what");
    request.set_cache(mode);
    request.set_min_sequence(sequence);
    return Await(io_, SearchDocuments(env_, ctx_, request));
  }

  asio::io_context io_;
  testing::FakeClock clock_;
  FakeBackends backends_;
  FlowOptions options_ = [] {
    FlowOptions options;
    options.batch_size = 2;
    options.parallel_batches = 2;
    return options;
  }();
  FlowEnv env_{backends_, io_.get_executor(), options_, nullptr, &clock_};
  RequestContext ctx_;
  vector::UpsertPointsRequest stored_;
  vector::SearchPointsRequest searched_;
  bool text_index_ = true;
  absl::Status search_error_;
  uint32_t answered_ = 2;
  std::map<std::string, std::string> cached_;
  std::vector<std::string> tags_;
};

TEST_F(FlowsTest, IngestEmbedsInBatchesAndKeepsTheTextBesideTheMetadata) {
  v1::UpsertDocumentsRequest request;
  request.set_collection("docs");
  for (const char* text : {"a", "bb", "ccc", "dddd", "eeeee"}) request.add_documents()->set_text(text);
  request.mutable_documents(1)->set_id("mine");
  (*request.mutable_documents(1)->mutable_metadata()->mutable_fields())["year"].set_number_value(2000);
  const auto reply = Await(io_, UpsertDocuments(env_, ctx_, request));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->sequence(), "0:7");
  EXPECT_EQ(reply->prompt_tokens(), 5);
  EXPECT_EQ(reply->ids(1), "mine");
  EXPECT_THAT(reply->ids(0), HasSubstr("doc-"));
  EXPECT_EQ(backends_.Count(methods::kEmbed), 3);
  ASSERT_EQ(stored_.points_size(), 5);
  EXPECT_THAT(stored_.points(4).vector(), ElementsAre(5, 1));
  EXPECT_EQ(stored_.points(1).payload().fields().at("text").string_value(), "bb");
  EXPECT_EQ(stored_.points(1).payload().fields().at("year").number_value(), 2000);
}

TEST_F(FlowsTest, IngestNamesEveryWrongDocumentAndStoresNothing) {
  v1::UpsertDocumentsRequest request;
  request.set_collection("docs");
  request.add_documents()->set_text("fine");
  request.add_documents();
  request.add_documents()->set_text("x");
  (*request.mutable_documents(2)->mutable_metadata()->mutable_fields())["text"].set_string_value("y");
  const absl::Status status = Await(io_, UpsertDocuments(env_, ctx_, request)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const auto violations = GetErrorDetails(status).field_violations;
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[0].field, "documents[1].text");
  EXPECT_EQ(violations[1].field, "documents[2].metadata.text");
  EXPECT_EQ(backends_.Count(methods::kEmbed), 0);
  EXPECT_EQ(backends_.Count(methods::kUpsertPoints), 0);
}

TEST_F(FlowsTest, IngestStopsAtTheFirstFailedBatch) {
  int calls = 0;
  backends_.On<inference::EmbedRequest, inference::EmbedResponse>(
      methods::kEmbed,
      [&](const RequestContext&, const inference::EmbedRequest&) -> absl::StatusOr<inference::EmbedResponse> {
        ++calls;
        return absl::UnavailableError("no model");
      });
  EXPECT_EQ(Upsert({"a", "b", "c", "d", "e", "f", "g", "h"}).status().message(), "no model");
  EXPECT_LE(calls, 2);
  EXPECT_EQ(backends_.Count(methods::kUpsertPoints), 0);
}

TEST_F(FlowsTest, TheSameTextAlwaysGetsTheSameId) {
  const auto first = Upsert({"hello"});
  const auto second = Upsert({"hello"});
  EXPECT_EQ(first->ids(0), second->ids(0));
}

TEST_F(FlowsTest, ACollectionWithoutAModelTakesNoTexts) {
  EXPECT_EQ(Upsert({"a"}, "vectors").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Upsert({"a"}, "nowhere").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FlowsTest, TheSecondSearchComesFromTheCacheUntilSomethingIsWritten) {
  AddCache();
  ASSERT_TRUE(Upsert({"one"}).ok());
  const auto first = Search();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(first->cached());
  ASSERT_EQ(first->timings_size(), 3);
  EXPECT_EQ(first->timings(0).stage(), "cache");
  EXPECT_EQ(first->timings(2).stage(), "search");
  EXPECT_EQ(first->hits(0).text(), "one");
  EXPECT_THAT(tags_, ElementsAre("collection:acme/docs"));

  const auto second = Search();
  EXPECT_TRUE(second->cached());
  EXPECT_EQ(second->hits(0).id(), first->hits(0).id());
  EXPECT_FALSE(second->has_shards());
  EXPECT_EQ(backends_.Count(methods::kSearchPoints), 1);

  ASSERT_TRUE(Upsert({"two"}).ok());
  const auto third = Search();
  EXPECT_FALSE(third->cached());
  EXPECT_EQ(third->hits(0).text(), "two");
  EXPECT_EQ(backends_.Count(methods::kSearchPoints), 2);
}

TEST_F(FlowsTest, BypassNeitherReadsNorStoresAndRefreshOnlyStores) {
  AddCache();
  EXPECT_FALSE(Search(v1::CACHE_MODE_BYPASS)->cached());
  EXPECT_FALSE(Search(v1::CACHE_MODE_USE)->cached());
  EXPECT_TRUE(Search(v1::CACHE_MODE_USE)->cached());
  EXPECT_FALSE(Search(v1::CACHE_MODE_REFRESH)->cached());
  EXPECT_EQ(backends_.Count(methods::kSearchPoints), 3);
}

TEST_F(FlowsTest, AReaderOfItsOwnWritesNeverGetsACachedAnswer) {
  AddCache();
  ASSERT_TRUE(Search().ok());
  EXPECT_TRUE(Search()->cached());
  EXPECT_FALSE(Search(v1::CACHE_MODE_USE, "0:7")->cached());
  EXPECT_EQ(searched_.min_sequence(), "0:7");
}

TEST_F(FlowsTest, AnAnswerOfSomeShardsIsNotKeptAndTheLeadIsGivenBack) {
  AddCache();
  answered_ = 1;
  ASSERT_TRUE(Search().ok());
  EXPECT_EQ(backends_.Count(methods::kCacheRelease), 1);
  EXPECT_FALSE(Search()->cached());
}

TEST_F(FlowsTest, AFailedSearchGivesTheLeadBack) {
  AddCache();
  search_error_ = absl::UnavailableError("shards are away");
  EXPECT_EQ(Search().status().message(), "shards are away");
  EXPECT_EQ(backends_.Count(methods::kCacheRelease), 1);
}

TEST_F(FlowsTest, ASearchByWordsNeedsNoModelAndAHybridOneAsksForBoth) {
  v1::SearchRequest request;
  request.set_collection("docs");
  request.set_query("some words");
  request.set_mode(v1::SEARCH_MODE_TEXT);
  request.mutable_highlight()->set_fragments(2);
  ASSERT_TRUE(Await(io_, SearchDocuments(env_, ctx_, request)).ok());
  EXPECT_EQ(backends_.Count(methods::kEmbed), 0);
  EXPECT_EQ(searched_.text(), "some words");
  EXPECT_EQ(searched_.vector_name(), "words");
  EXPECT_EQ(searched_.highlight().fragments(), 2u);

  request.set_mode(v1::SEARCH_MODE_HYBRID);
  request.mutable_hybrid()->set_text_weight(3);
  request.mutable_hybrid()->set_candidates(70);
  request.mutable_hybrid()->mutable_fusion()->set_method(vector::FUSION_METHOD_WEIGHTED);
  request.mutable_params()->set_ef(99);
  request.mutable_group_by()->set_field("kind");
  ASSERT_TRUE(Await(io_, SearchDocuments(env_, ctx_, request)).ok());
  EXPECT_EQ(backends_.Count(methods::kEmbed), 1);
  ASSERT_EQ(searched_.prefetch_size(), 2);
  EXPECT_THAT(searched_.prefetch(0).vector(), ElementsAre(10, 1));
  EXPECT_EQ(searched_.prefetch(0).params().ef(), 99u);
  EXPECT_FALSE(searched_.prefetch(0).has_weight());
  EXPECT_EQ(searched_.prefetch(1).text(), "some words");
  EXPECT_EQ(searched_.prefetch(1).weight(), 3);
  EXPECT_EQ(searched_.prefetch(1).limit(), 70u);
  EXPECT_EQ(searched_.fusion().method(), vector::FUSION_METHOD_WEIGHTED);
  EXPECT_EQ(searched_.group_by().field(), "kind");
  EXPECT_FALSE(searched_.has_params());

  const auto refused = [&](auto change) {
    v1::SearchRequest wrong;
    wrong.set_collection("docs");
    wrong.set_query("x");
    change(wrong);
    return std::string(Await(io_, SearchDocuments(env_, ctx_, wrong)).status().message());
  };
  EXPECT_THAT(refused([](auto& r) { r.mutable_hybrid(); }), HasSubstr("mode hybrid"));
  EXPECT_THAT(refused([](auto& r) { r.mutable_highlight(); }), HasSubstr("mode text or hybrid"));
  EXPECT_THAT(refused([](auto& r) {
                r.set_mode(v1::SEARCH_MODE_HYBRID);
                r.mutable_hybrid()->set_dense_weight(0);
              }),
              HasSubstr("dense_weight"));
  text_index_ = false;
  env_.collections.Forget("acme", "docs");
  EXPECT_THAT(refused([](auto& r) { r.set_mode(v1::SEARCH_MODE_TEXT); }), HasSubstr("no text index"));
}

TEST_F(FlowsTest, GroupsAndHighlightsComeBackAndAreCached) {
  AddCache();
  backends_.On<vector::SearchPointsRequest, vector::SearchPointsResponse>(
      methods::kSearchPoints, [](const RequestContext&, const vector::SearchPointsRequest&) {
        vector::SearchPointsResponse reply;
        auto* group = reply.add_groups();
        group->mutable_value()->set_string_value("graphics");
        auto* point = group->add_points();
        point->set_id("a");
        (*point->mutable_payload()->mutable_fields())["text"].set_string_value("the text");
        auto* highlight = point->add_highlights();
        highlight->set_field("text");
        highlight->add_fragments("the <em>text</em>");
        reply.mutable_shards()->set_asked(1);
        reply.mutable_shards()->set_answered(1);
        return reply;
      });
  for (const bool cached : {false, true}) {
    const auto reply = Search();
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(reply->cached(), cached);
    ASSERT_EQ(reply->groups_size(), 1);
    EXPECT_EQ(reply->groups(0).value().string_value(), "graphics");
    EXPECT_EQ(reply->groups(0).hits(0).text(), "the text");
    EXPECT_THAT(reply->groups(0).hits(0).highlights(), ElementsAre("the <em>text</em>"));
  }
}

TEST_F(FlowsTest, ACollectionWithAModelGetsATextIndexUnlessItSaysNo) {
  const auto completed = [&](auto change) {
    vector::CreateCollectionRequest request;
    request.mutable_collection()->set_name("new");
    request.mutable_collection()->set_embedding_model("default");
    change(request);
    EXPECT_TRUE(Await(io_, CompleteCollection(env_, ctx_, request)).ok());
    return request.collection();
  };
  EXPECT_EQ(completed([](auto&) {}).sparse().at("text").text_field(), "text");
  EXPECT_TRUE(completed([](auto& r) { r.set_no_text_index(true); }).sparse().empty());
  const auto own = completed([](auto& r) { (*r.mutable_collection()->mutable_sparse())["splade"]; });
  EXPECT_EQ(own.sparse().size(), 1u);
}

TEST_F(FlowsTest, SearchWorksWithoutACache) {
  ASSERT_TRUE(Upsert({"one"}).ok());
  EXPECT_EQ(Search()->hits_size(), 1);
  backends_.absent.insert("cache");
  const int before = backends_.Count(methods::kCacheGet);
  EXPECT_EQ(Search()->hits_size(), 1);
  EXPECT_EQ(backends_.Count(methods::kCacheGet), before);
}

TEST_F(FlowsTest, TheVectorOfAQueryIsEmbeddedOnce) {
  AddCache();
  ASSERT_TRUE(Search(v1::CACHE_MODE_REFRESH).ok());
  ASSERT_TRUE(Search(v1::CACHE_MODE_REFRESH).ok());
  EXPECT_EQ(backends_.Count(methods::kEmbed), 1);
  EXPECT_THAT(searched_.vector(), ElementsAre(4, 1));
}

TEST_F(FlowsTest, ACollectionIsLookedUpAgainAfterItsTime) {
  ASSERT_TRUE(Search().ok());
  ASSERT_TRUE(Search().ok());
  EXPECT_EQ(backends_.Count(methods::kGetCollection), 1);
  clock_.Advance(CollectionCache::kTtl + absl::Milliseconds(1));
  ASSERT_TRUE(Search().ok());
  EXPECT_EQ(backends_.Count(methods::kGetCollection), 2);
}

TEST_F(FlowsTest, ANewCollectionGetsTheShapeOfItsModel) {
  vector::CreateCollectionRequest request;
  request.mutable_collection()->set_embedding_model("default");
  ASSERT_TRUE(Await(io_, CompleteCollection(env_, ctx_, request)).ok());
  EXPECT_EQ(request.collection().embedding_model(), "mini");
  EXPECT_EQ(request.collection().vectors().at("").dimension(), 2u);
  EXPECT_EQ(request.collection().vectors().at("").metric(), vector::METRIC_COSINE);

  vector::CreateCollectionRequest plain;
  ASSERT_TRUE(Await(io_, CompleteCollection(env_, ctx_, plain)).ok());
  EXPECT_TRUE(plain.collection().vectors().empty());

  (*request.mutable_collection()->mutable_vectors())[""].set_dimension(3);
  EXPECT_THAT(Await(io_, CompleteCollection(env_, ctx_, request)).message(), HasSubstr("does not fit"));
  request.mutable_collection()->set_embedding_model("other");
  const absl::Status unknown = Await(io_, CompleteCollection(env_, ctx_, request));
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), HasSubstr("mini"));
}

class FakeProbe final : public ProcessProbe {
 public:
  asio::awaitable<absl::StatusOr<std::string>> Ask(RequestContext, KnownProcess process, std::string, std::string,
                                                   absl::Duration) override {
    if (process.address == "down:1") co_return absl::UnavailableError("connection refused");
    inference::GetStatusResponse reply;
    reply.mutable_process()->set_health(alcove::common::v1::HEALTH_SERVING);
    reply.mutable_process()->set_address("what it thinks");
    co_return reply.SerializeAsString();
  }
};

TEST_F(FlowsTest, StatusTellsWhichProcessIsDownAndWhetherEveryServiceServes) {
  FakeProbe probe;
  alcove::common::v1::ProcessStatus self = DescribeThisProcess("gateway", "here:1", "1.0", absl::UnixEpoch());
  EXPECT_GT(self.resident_bytes(), 0);
  auto status = Await(
      io_, GetSuiteStatus(probe, {{"inference", "up:1"}, {"inference", "down:1"}, {"cache", "down:1"}}, self, ctx_));
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(status->processes_size(), 4);
  EXPECT_EQ(status->processes(1).address(), "up:1");
  EXPECT_EQ(status->processes(2).health(), alcove::common::v1::HEALTH_DOWN);
  EXPECT_EQ(status->processes(2).reason(), "connection refused");
  EXPECT_FALSE(status->ready());
  status = Await(io_, GetSuiteStatus(probe, {{"inference", "up:1"}, {"inference", "down:1"}}, self, ctx_));
  EXPECT_TRUE(status->ready());
}

TEST(ForEachParallel, RunsEverythingWithinItsWidthAndStopsWhenTold) {
  asio::io_context io;
  int running = 0, most = 0, done = 0;
  const auto run = [&](size_t stop_at) -> asio::awaitable<int> {
    running = most = done = 0;
    auto step = [&](size_t index) -> asio::awaitable<bool> {
      most = std::max(most, ++running);
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
      --running;
      ++done;
      co_return index < stop_at;
    };
    co_await ForEachParallel(10, 3, step);
    co_return done;
  };
  EXPECT_EQ(Await(io, run(100)), 10);
  EXPECT_EQ(most, 3);
  EXPECT_LT(Await(io, run(0)), 10);
}

}  // namespace
}  // namespace alcove::gateway
