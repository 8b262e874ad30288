#include "services/gateway/rest/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

using ::testing::ElementsAre;

PathTemplate Template(std::string_view text) {
  auto result = ParsePathTemplate(text);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : PathTemplate();
}

TEST(HttpTemplate, ReadsVariablesWildcardsAndVerbs) {
  const PathTemplate path = Template("/v1/{name=shelves/*}/books/{book.id}:publish");
  ASSERT_EQ(path.segments.size(), 5u);
  EXPECT_EQ(path.segments[1].literal, "shelves");
  EXPECT_EQ(path.verb, "publish");
  ASSERT_EQ(path.variables.size(), 2u);
  EXPECT_EQ(path.variables[0], (TemplateVariable{"name", 1, 2, true, false}));
  EXPECT_EQ(path.variables[1], (TemplateVariable{"book.id", 4, 1, false, false}));
}

TEST(HttpTemplate, RefusesWhatItCouldNotServe) {
  for (const char* text : {"", "v1", "/", "/v1/", "/{", "/{a", "/{a=}", "/{a={b}}", "/{1a}", "/{a.}", "/**/x",
                           "/a:", "/a:b:c", "/{a}/{a}", "/a%zz", "/a b?c"}) {
    EXPECT_FALSE(ParsePathTemplate(text).ok()) << text;
  }
}

class RouterTest : public ::testing::Test {
 protected:
  void Add(std::string_view method, std::string_view path) {
    ASSERT_TRUE(router_.Add(method, Template(path), names_.size()).ok()) << path;
    names_.emplace_back(path);
  }
  std::string Find(std::string_view method, std::string_view path) {
    match_ = router_.Match(method, path);
    switch (match_.kind) {
      case RouteMatch::Kind::kFound: return names_[match_.route];
      case RouteMatch::Kind::kNotFound: return "404";
      case RouteMatch::Kind::kMethodNotAllowed: return "405";
      case RouteMatch::Kind::kMalformed: return "400";
    }
    return "";
  }
  Router router_;
  std::vector<std::string> names_;
  RouteMatch match_;
};

TEST_F(RouterTest, PrefersLiteralsToWildcardsAndKnownVerbsToText) {
  Add("GET", "/v1/collections/{name}");
  Add("GET", "/v1/collections/special");
  Add("POST", "/v1/collections/{name}/points:search");
  Add("POST", "/v1/collections/{name}/{thing}");
  Add("POST", "/v1/inference:embed");
  EXPECT_EQ(Find("GET", "/v1/collections/special"), "/v1/collections/special");
  EXPECT_EQ(Find("GET", "/v1/collections/specia"), "/v1/collections/{name}");
  EXPECT_EQ(Find("POST", "/v1/collections/a/points:search"), "/v1/collections/{name}/points:search");
  EXPECT_EQ(Find("POST", "/v1/collections/a/points:other"), "/v1/collections/{name}/{thing}");
  EXPECT_EQ(match_.captures[1].value, "points:other");
  EXPECT_EQ(Find("POST", "/v1/inference:embed"), "/v1/inference:embed");
  EXPECT_EQ(Find("POST", "/v1/inference"), "404");
}

TEST_F(RouterTest, GoesBackWhenALiteralLeadsNowhere) {
  Add("GET", "/a/b/c");
  Add("GET", "/a/{x}/d");
  Add("GET", "/a/{rest=**}");
  EXPECT_EQ(Find("GET", "/a/b/d"), "/a/{x}/d");
  EXPECT_EQ(Find("GET", "/a/b/e"), "/a/{rest=**}");
  EXPECT_EQ(match_.captures[0].value, "b/e");
  EXPECT_EQ(Find("GET", "/a"), "/a/{rest=**}");
  EXPECT_EQ(match_.captures[0].value, "");
}

TEST_F(RouterTest, DecodesSegmentsAfterSplitting) {
  Add("GET", "/v1/documents/{id}");
  Add("GET", "/files/{path=**}");
  Add("GET", "/named/{name=shelves/*}/end");
  EXPECT_EQ(Find("GET", "/v1/documents/a%2Fb%20c%3Ad"), "/v1/documents/{id}");
  EXPECT_EQ(match_.captures[0].value, "a/b c:d");
  EXPECT_EQ(Find("GET", "/files/a%2Fb/c%20d"), "/files/{path=**}");
  EXPECT_EQ(match_.captures[0].value, "a%2Fb/c d");
  EXPECT_EQ(Find("GET", "/named/shelves/7/end"), "/named/{name=shelves/*}/end");
  EXPECT_EQ(match_.captures[0].value, "shelves/7");
  EXPECT_EQ(Find("GET", "/v1/docu%6dents/x"), "/v1/documents/{id}");
  EXPECT_EQ(Find("GET", "/v1/documents/%zz"), "400");
  EXPECT_EQ(Find("GET", "/v1/documents/%ff"), "400");
  EXPECT_EQ(Find("GET", "/v1/documents/%4"), "400");
}

TEST_F(RouterTest, TellsAWrongMethodFromAWrongPath) {
  Add("GET", "/v1/keys");
  Add("POST", "/v1/keys");
  Add("DELETE", "/v1/keys/{id}");
  EXPECT_EQ(Find("PUT", "/v1/keys"), "405");
  EXPECT_THAT(match_.allow, ElementsAre("GET", "POST"));
  EXPECT_EQ(Find("GET", "/v1/keys/a:b"), "405");
  EXPECT_EQ(Find("GET", "/v1/keys/"), "404");
  EXPECT_EQ(Find("GET", "/v2/keys"), "404");
  EXPECT_EQ(Find("GET", "*"), "404");
  EXPECT_EQ(Find("GET", ""), "404");
}

TEST_F(RouterTest, RefusesTwoRoutesForOneRequest) {
  Add("GET", "/v1/{a}");
  EXPECT_EQ(router_.Add("GET", Template("/v1/{b}"), 9).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(router_.Add("GET", Template("/v1/{b}:verb"), 9).ok());
}

TEST_F(RouterTest, BoundsTheLengthOfAPath) {
  Add("GET", "/x/{rest=**}");
  std::string path = "/x";
  for (int i = 0; i < 1000; ++i) path += "/y";
  EXPECT_EQ(Find("GET", path), "404");
}

}  // namespace
}  // namespace alcove::gateway
