#include "services/gateway/rest/schema.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "services/gateway/rest/method_table.h"
#include "services/gateway/rest/openapi.h"

namespace alcove::gateway {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const MethodTable& Table() {
  static const MethodTable* table = [] {
    auto built = MethodTable::Build();
    EXPECT_TRUE(built.ok()) << built.status();
    return built->release();
  }();
  return *table;
}

TEST(MethodTable, KnowsWhatTheOptionsOfAMethodSay) {
  const MethodInfo* search = Table().Find("/alcove.vector.v1.VectorService/SearchPoints");
  ASSERT_NE(search, nullptr);
  EXPECT_EQ(search->upstream, "vector-search");
  EXPECT_EQ(search->scope, AccessScope::kRead);
  EXPECT_TRUE(search->idempotent);
  EXPECT_FALSE(search->planned);
  EXPECT_FALSE(search->internal);
  ASSERT_EQ(search->bindings.size(), 1u);
  EXPECT_EQ(search->bindings[0].http_method, "POST");

  EXPECT_TRUE(Table().Find("/alcove.cache.v1.CacheService/Get")->internal);
  EXPECT_TRUE(Table().Find("/alcove.graph.v1.GraphService/Diffuse")->planned);
  EXPECT_EQ(Table().Find("/alcove.gateway.v1.KeyService/CreateKey")->scope, AccessScope::kAdmin);
  EXPECT_EQ(Table().Find("/alcove.gateway.v1.KeyService/CreateKey")->upstream, "");
  EXPECT_EQ(Table().Find("/alcove.vector.v1.VectorService/Nothing"), nullptr);
}

TEST(MethodTable, ListsOnlyServicesWithMethodsForClients) {
  EXPECT_THAT(Table().public_services(), Contains("alcove.inference.v1.InferenceService"));
  EXPECT_THAT(Table().public_services(), Not(Contains("alcove.cache.v1.CacheService")));
  EXPECT_THAT(Table().public_services(), Not(Contains("alcove.vector.v1.ShardService")));
}

TEST(MethodTable, EveryRouteOfEveryMethodIsUnique) {
  Router router;
  for (const MethodInfo& info : Table().methods()) {
    for (const HttpBinding& binding : info.bindings) {
      EXPECT_TRUE(router.Add(binding.http_method, binding.path, 0).ok()) << info.path << " " << binding.path_text;
    }
  }
}

TEST(Schema, KeepsTheCommentsOfTheProtos) {
  const auto* message = ApiPool().FindMessageTypeByName("alcove.gateway.v1.SearchRequest");
  ASSERT_NE(message, nullptr);
  EXPECT_EQ(ApiComment(*message), "Asks for documents by meaning.");
  EXPECT_EQ(ApiComment(*message->FindFieldByName("query")), "What is looked for, 1 byte to 32 KiB.");
}

class OpenApiTest : public ::testing::Test {
 protected:
  OpenApiTest()
      : text_(BuildOpenApi(Table(), "1.2.3", {R"("/v1/models":{"get":{}})", R"("ModelList":{"type":"object"})"})) {
    EXPECT_EQ(parser_.parse(text_).get(document_), simdjson::SUCCESS) << text_.substr(0, 400);
  }
  std::string text_;
  simdjson::dom::parser parser_;
  simdjson::dom::element document_;
};

TEST_F(OpenApiTest, DescribesPathsParametersAndReplies) {
  simdjson::dom::element operation;
  ASSERT_FALSE(document_["paths"]["/v1/collections/{collection}/search"]["get"].get(operation));
  EXPECT_EQ(std::string_view(operation["operationId"]), "DocumentService_Search_2");
  std::set<std::string> names;
  for (const auto& parameter : operation["parameters"].get_array()) {
    names.emplace(std::string_view(parameter["name"]));
  }
  EXPECT_THAT(names, Contains("query"));
  EXPECT_THAT(names, Contains("params.ef"));
  EXPECT_THAT(names, Contains("filter"));
  EXPECT_EQ(std::string_view(operation["parameters"].at(0)["in"]), "path");
  EXPECT_EQ(std::string_view(operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]),
            "#/components/schemas/alcove.gateway.v1.SearchResponse");
  ASSERT_FALSE(document_["paths"]["/v1/models"]["get"].get(operation));
  EXPECT_TRUE(document_["components"]["schemas"]["ModelList"].is_object());
}

TEST_F(OpenApiTest, LeavesInternalMethodsOutAndMarksPlannedOnes) {
  EXPECT_THAT(text_, Not(HasSubstr("CacheService")));
  simdjson::dom::element operation;
  ASSERT_FALSE(document_["paths"]["/v1/graphs/{name}:diffuse"]["post"].get(operation));
  EXPECT_EQ(std::string_view(operation["x-availability"]), "planned");
  EXPECT_TRUE(operation["responses"]["501"].is_object());
}

void CollectReferences(simdjson::dom::element element, std::set<std::string>& out) {
  if (element.is_array()) {
    for (auto child : element.get_array()) CollectReferences(child, out);
  } else if (element.is_object()) {
    for (auto [key, child] : simdjson::dom::object(element)) {
      if (key == "$ref") out.emplace(std::string_view(child));
      CollectReferences(child, out);
    }
  }
}

TEST_F(OpenApiTest, EveryReferenceLeadsSomewhere) {
  std::set<std::string> references;
  CollectReferences(document_, references);
  EXPECT_GT(references.size(), 20u);
  for (const std::string& reference : references) {
    const size_t slash = reference.rfind('/');
    const std::string section = reference.substr(0, slash), name = reference.substr(slash + 1);
    simdjson::dom::element target;
    const bool schema = section == "#/components/schemas";
    EXPECT_FALSE(document_["components"][schema ? "schemas" : "responses"][name].get(target)) << reference;
  }
}

}  // namespace
}  // namespace alcove::gateway
