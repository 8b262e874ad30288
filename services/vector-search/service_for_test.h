// One process, both faces, over real gRPC and SQLite; calls are written as JSON.
#pragma once

#include <memory>
#include <string>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/json_util.h>

#include "alcove/vector/v1/backup.grpc.pb.h"
#include "libs/common/config.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/node.h"
#include "services/vector-search/service.h"

namespace alcove::vector_search {

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override { Stop(); }

  // What a test wants otherwise.
  virtual void Configure(config::v1::VectorSearchConfig&) {}
  void Start() {
    auto config = DefaultConfig<config::v1::VectorSearchConfig>();
    config.mutable_store()->set_url("sqlite:" + dir_.File("store/test.db"));
    config.mutable_store()->set_durability("normal");
    config.set_data_dir(dir_.File("data"));
    Configure(config);
    auto node = Node::Make(config, registry_, loops_);
    ASSERT_THAT(node, testing::IsOk());
    node_ = *std::move(node);
    auto server = rpc::Server::Start({.loops = &loops_}, node_->Services());
    ASSERT_THAT(server, testing::IsOk());
    server_ = *std::move(server);
    node_->OnListening(server_->address());
    server_->SetServing(true);
    auto channel = rpc::MakeChannel(server_->address()).value();
    stub_ = pb::VectorService::NewStub(channel);
    backups_ = pb::BackupService::NewStub(channel);
    shards_ = pb::ShardService::NewStub(channel);
  }
  void Stop() {
    if (server_ != nullptr) (void)server_->Drain(absl::Now() + absl::Seconds(5));
    server_ = nullptr;
    node_ = nullptr;
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext client;
    const auto registration = rpc::ContextToClient(ctx_.WithTimeout(absl::Seconds(20)), client);
    return rpc::FromGrpc((stub.*method)(&client, request, response));
  }
#define ALCOVE_CALL_OF(Service, stub, Name)                                            \
  absl::StatusOr<pb::Name##Response> Name(const std::string& json) {                   \
    pb::Name##Request request;                                                         \
    const auto parsed = google::protobuf::util::JsonStringToMessage(json, &request);   \
    EXPECT_TRUE(parsed.ok()) << parsed.ToString();                                     \
    pb::Name##Response response;                                                       \
    ALCOVE_RETURN_IF_ERROR(Call(*stub, &pb::Service::Stub::Name, request, &response)); \
    return response;                                                                   \
  }
#define ALCOVE_CALL(Name) ALCOVE_CALL_OF(VectorService, stub_, Name)
  ALCOVE_CALL(CreateCollection)
  ALCOVE_CALL(GetCollection)
  ALCOVE_CALL(ListCollections)
  ALCOVE_CALL(DeleteCollection)
  ALCOVE_CALL(UpsertPoints)
  ALCOVE_CALL(DeletePoints)
  ALCOVE_CALL(GetPoints)
  ALCOVE_CALL(ScrollPoints)
  ALCOVE_CALL(CountPoints)
  ALCOVE_CALL(SearchPoints)
  ALCOVE_CALL(BatchSearchPoints)
  ALCOVE_CALL(RecommendPoints)
  ALCOVE_CALL(UpdatePoints)
  ALCOVE_CALL(FacetPoints)
  ALCOVE_CALL(SetAlias)
#undef ALCOVE_CALL
#define ALCOVE_CALL(Name) ALCOVE_CALL_OF(BackupService, backups_, Name)
  ALCOVE_CALL(CreateBackup)
  ALCOVE_CALL(ListBackups)
  ALCOVE_CALL(GetBackup)
  ALCOVE_CALL(DeleteBackup)
  ALCOVE_CALL(StartRestore)
  ALCOVE_CALL(GetRestore)
  ALCOVE_CALL(CancelRestore)
#undef ALCOVE_CALL
#undef ALCOVE_CALL_OF

  void CreateDocs() {
    ALCOVE_ASSERT_OK(CreateCollection(R"({"collection": {"name": "docs", "vectors": {"": {"dimension": 2}},
      "schema": {"tag": "FIELD_TYPE_KEYWORD", "size": "FIELD_TYPE_INTEGER"}}})"));
  }
  // a, b and c at 0°, 45° and 90°.
  void FillDocs() {
    ALCOVE_ASSERT_OK(UpsertPoints(R"({"collection": "docs", "wait": true, "points": [
      {"id": "a", "vector": [1, 0], "payload": {"tag": "x", "size": 1, "text": "first"}},
      {"id": "b", "vector": [2, 2], "payload": {"tag": ["x", "y"], "size": 2}},
      {"id": "c", "vector": [0, 3], "payload": {"tag": "y", "size": 3}}]})"));
  }
  template <typename Response>
  static std::string Ids(const absl::StatusOr<Response>& found) {
    if (!found.ok()) return found.status().ToString();
    std::string ids;
    for (const pb::ScoredPoint& point : found->points()) ids += point.id();
    return ids;
  }

  const testing::TempDir dir_;
  Registry registry_;
  net::LoopThreads loops_{1};
  RequestContext ctx_{{.tenant = "t", .request_id = "r1"}};
  std::unique_ptr<Node> node_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<pb::VectorService::Stub> stub_;
  std::unique_ptr<pb::ShardService::Stub> shards_;
  std::unique_ptr<pb::BackupService::Stub> backups_;
};

}  // namespace alcove::vector_search
