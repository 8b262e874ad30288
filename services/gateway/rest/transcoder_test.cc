#include "services/gateway/rest/transcoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "libs/common/status.h"
#include "services/gateway/rest/problem.h"

namespace alcove::gateway {
namespace {

using ::testing::HasSubstr;

std::vector<HttpBinding> BindingsOf(const std::string& method) {
  v1::SearchRequest::descriptor();
  alcove::vector::v1::SearchPointsRequest::descriptor();
  const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(method);
  EXPECT_NE(descriptor, nullptr) << method;
  auto bindings = CompileBindings(*descriptor);
  EXPECT_TRUE(bindings.ok()) << bindings.status();
  return *std::move(bindings);
}

QueryParameters Query(std::string_view text) {
  auto query = ParseQuery(text);
  EXPECT_TRUE(query.ok()) << query.status();
  return query.ok() ? *std::move(query) : QueryParameters();
}

TEST(Transcoder, FillsARequestFromPathAndQuery) {
  const auto bindings = BindingsOf("alcove.gateway.v1.DocumentService.Search");
  ASSERT_EQ(bindings.size(), 2u);
  EXPECT_EQ(bindings[1].http_method, "GET");
  v1::SearchRequest request;
  std::string body;
  ASSERT_TRUE(
      FillRequest(
          bindings[1], {{"collection", "docs"}},
          Query("query=draw+a%20graph&limit=5&params.exact=true&scoreThreshold=0.5&cache=bypass&"
                "filter=%7B%22must%22:[%7B%22match%22:%7B%22field%22:%22section%22,%22value%22:%22net%22%7D%7D]%7D"),
          body, request)
          .ok());
  EXPECT_EQ(request.collection(), "docs");
  EXPECT_EQ(request.query(), "draw a graph");
  EXPECT_EQ(request.limit(), 5u);
  EXPECT_TRUE(request.params().exact());
  EXPECT_EQ(request.score_threshold(), 0.5f);
  EXPECT_EQ(request.cache(), v1::CACHE_MODE_BYPASS);
  EXPECT_EQ(request.filter().must(0).match().value().string_value(), "net");
}

TEST(Transcoder, RefusesParametersThatDoNotFit) {
  const auto bindings = BindingsOf("alcove.gateway.v1.DocumentService.Search");
  const auto error = [&](const HttpBinding& binding, std::string_view query, std::string body = "") {
    v1::SearchRequest request;
    return std::string(FillRequest(binding, {{"collection", "docs"}}, Query(query), body, request).message());
  };
  EXPECT_THAT(error(bindings[1], "quer=x"), HasSubstr("did you mean \"query\""));
  EXPECT_THAT(error(bindings[1], "limit=x"), HasSubstr("limit: expected a whole number"));
  EXPECT_THAT(error(bindings[1], "limit=1&limit=2"), HasSubstr("given twice"));
  EXPECT_THAT(error(bindings[1], "collection=other"), HasSubstr("given twice"));
  EXPECT_THAT(error(bindings[1], "params.ef.x=1"), HasSubstr("no fields inside"));
  EXPECT_THAT(error(bindings[1], "filter=%7B"), HasSubstr("as JSON"));
  EXPECT_THAT(error(bindings[0], "limit=1", "{}"), HasSubstr("takes its fields in the body"));
  EXPECT_THAT(error(bindings[0], "", R"({"collection":"other"})"), HasSubstr("different values"));
  EXPECT_EQ(error(bindings[0], "", R"({"collection":"docs"})"), "");
  EXPECT_EQ(error(bindings[0], ""), "");
}

TEST(Transcoder, BindsABodyToOneFieldAndRendersOneField) {
  const auto bindings = BindingsOf("alcove.vector.v1.VectorService.CreateCollection");
  alcove::vector::v1::CreateCollectionRequest request;
  std::string body = R"({"name":"docs","embedding_model":"default"})";
  ASSERT_TRUE(FillRequest(bindings[0], {}, {}, body, request).ok());
  EXPECT_EQ(request.collection().embedding_model(), "default");
  alcove::vector::v1::CreateCollectionResponse reply;
  reply.mutable_collection()->set_name("docs");
  EXPECT_THAT(RenderReply(bindings[0], reply), HasSubstr(R"({"name":"docs")"));
}

TEST(Transcoder, HasNoBindingForMethodsWithoutARule) {
  EXPECT_TRUE(BindingsOf("alcove.vector.v1.VectorService.StreamUpsertPoints").empty());
}

TEST(ParseQuery, DecodesAndBounds) {
  EXPECT_EQ(Query("a=1&b=%26+x&&c"), (QueryParameters{{"a", "1"}, {"b", "& x"}, {"c", ""}}));
  EXPECT_FALSE(ParseQuery("a=%f").ok());
  EXPECT_FALSE(ParseQuery("a=%ff").ok());
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "a=1&";
  EXPECT_FALSE(ParseQuery(many).ok());
}

TEST(Problem, CarriesCodeFieldsAndRequestId) {
  const std::string json = ProblemJson(InvalidField("limit", "expected less"), "r1");
  EXPECT_EQ(
      json,
      R"({"type":"about:blank","title":"Bad Request","status":400,"detail":"limit: expected less",)"
      R"("code":"INVALID_ARGUMENT","request_id":"r1","errors":[{"field":"limit","description":"expected less"}]})");
}

}  // namespace
}  // namespace alcove::gateway
