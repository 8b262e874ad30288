// The pieces of the face that are functions of their input: reflection, peeking, headers, compression.
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "alcove/vector/v1/vector.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "services/gateway/service/dispatcher.h"
#include "services/gateway/service/reflection.h"
#include "services/gateway/service/request_head.h"

namespace alcove::gateway {
namespace {

namespace reflection = grpc::reflection::v1;
using ::testing::Contains;
using ::testing::Not;

const MethodTable& Table() {
  static const MethodTable* table = MethodTable::Build()->release();
  return *table;
}

reflection::ServerReflectionResponse Ask(const reflection::ServerReflectionRequest& request) {
  const auto bytes = AnswerReflection(Table(), request.SerializeAsString());
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  reflection::ServerReflectionResponse response;
  EXPECT_TRUE(response.ParseFromString(*bytes));
  return response;
}

TEST(Reflection, ListsPublicServicesOnly) {
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  std::vector<std::string> names;
  const auto response = Ask(request);
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  EXPECT_THAT(names, Contains("alcove.vector.v1.VectorService"));
  EXPECT_THAT(names, Contains("grpc.health.v1.Health"));
  EXPECT_THAT(names, Not(Contains("alcove.vector.v1.ShardService")));
}

TEST(Reflection, SendsAFileWithEverythingItImports) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol("alcove.gateway.v1.DocumentService.Search");
  std::vector<google::protobuf::FileDescriptorProto> files;
  std::set<std::string> sent;
  const auto response = Ask(request);
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    ASSERT_TRUE(files.emplace_back().ParseFromString(bytes));
    EXPECT_FALSE(files.back().has_source_code_info());
    sent.insert(files.back().name());
  }
  for (const auto& file : files) {
    for (const std::string& import : file.dependency()) EXPECT_THAT(sent, Contains(import)) << file.name();
  }
  EXPECT_EQ(files.front().name(), "alcove/gateway/v1/gateway.proto");
  EXPECT_GT(files.size(), 5u);
}

TEST(Reflection, TellsWhatIsMissing) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol("no.Such");
  EXPECT_EQ(Ask(request).error_response().error_code(), 5);
  request.set_file_by_filename("no/such.proto");
  EXPECT_EQ(Ask(request).error_response().error_code(), 5);
  EXPECT_EQ(Ask({}).error_response().error_code(), 3);
  EXPECT_FALSE(AnswerReflection(Table(), "\xff").ok());
}

TEST(Reflection, KnowsExtensions) {
  reflection::ServerReflectionRequest request;
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto response = Ask(request);
  EXPECT_THAT(response.all_extension_numbers_response().extension_number(), Contains(50100));
  request.mutable_file_containing_extension()->set_containing_type("google.protobuf.MethodOptions");
  request.mutable_file_containing_extension()->set_extension_number(50100);
  EXPECT_GT(Ask(request).file_descriptor_response().file_descriptor_proto_size(), 0);
}

TEST(PeekTextField, FindsTheNameWithoutParsingTheRest) {
  alcove::vector::v1::UpsertPointsRequest request;
  request.set_collection("docs");
  request.add_points()->set_id("collection");
  request.set_idempotency_key("k");
  EXPECT_EQ(PeekTextField(request.SerializeAsString(), 1), "docs");
  EXPECT_EQ(PeekTextField(request.SerializeAsString() + request.SerializeAsString().substr(0, 6), 1), "docs");
  EXPECT_EQ(PeekTextField("", 1), "");
  EXPECT_EQ(PeekTextField("\x0a\x7f", 1), "");
}

TEST(ListAccepts, ReadsQualities) {
  EXPECT_TRUE(ListAccepts("gzip", "gzip"));
  EXPECT_TRUE(ListAccepts("br;q=1.0, GZIP ; q=0.2", "gzip"));
  EXPECT_FALSE(ListAccepts("gzip;q=0", "gzip"));
  EXPECT_FALSE(ListAccepts("", "gzip"));
  EXPECT_FALSE(ListAccepts("xgzip", "gzip"));
}

TEST(Gzip, GivesUpWhenNothingIsWon) {
  EXPECT_LT(Gzip(std::string(10'000, 'a')).size(), 200u);
  EXPECT_EQ(Gzip("x"), "");
}

}  // namespace
}  // namespace alcove::gateway
