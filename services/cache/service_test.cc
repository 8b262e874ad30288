#include "services/cache/service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "libs/rpc/context.h"
#include "libs/rpc/server.h"
#include "libs/testing/status_matchers.h"

namespace alcove::cache {
namespace {

using ::testing::HasSubstr;

class CacheFaceTest : public ::testing::Test {
 protected:
  CacheFaceTest() {
    auto server = rpc::Server::Start({}, {&face_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
    stub_ = v1::CacheService::NewStub(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }

  static std::unique_ptr<TieredCache> Make() { return *TieredCache::Create({}, RealClock()); }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::CacheService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, const std::string& tenant = "acme") {
    grpc::ClientContext context;
    if (!tenant.empty()) context.AddMetadata(rpc::kTenantKey, tenant);
    return (stub_.get()->*method)(&context, request, response);
  }

  static v1::Key Key(const std::string& key) {
    v1::Key out;
    out.set_namespace_("search");
    out.set_key(key);
    return out;
  }

  std::unique_ptr<TieredCache> cache_ = Make();
  CacheFace face_{*cache_, {}, *RealClock()};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::CacheService::Stub> stub_;
};

TEST_F(CacheFaceTest, StoresAndReturnsOverTheWire) {
  v1::PutRequest put;
  *put.mutable_entry()->mutable_key() = Key("k");
  put.mutable_entry()->set_value("v");
  v1::PutResponse stored;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::Put, put, &stored).ok());
  EXPECT_TRUE(stored.stored());

  v1::BatchGetRequest get;
  *get.add_keys() = Key("missing");
  *get.add_keys() = Key("k");
  v1::BatchGetResponse got;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::BatchGet, get, &got).ok());
  ASSERT_EQ(got.entries_size(), 2);
  EXPECT_EQ(got.entries(0).outcome(), v1::OUTCOME_MISS);
  EXPECT_EQ(got.entries(1).value(), "v");
  EXPECT_EQ(got.entries(1).level(), v1::LEVEL_MEMORY);

  v1::BatchGetResponse other;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::BatchGet, get, &other, "rival").ok());
  EXPECT_EQ(other.entries(1).outcome(), v1::OUTCOME_MISS);
}

TEST_F(CacheFaceTest, LeadsOneCallerAndHandsTheValueToTheNext) {
  v1::GetRequest get;
  *get.mutable_key() = Key("k");
  get.set_single_flight(true);
  get.mutable_wait()->set_seconds(10);
  v1::GetResponse leader;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::Get, get, &leader).ok());
  ASSERT_EQ(leader.outcome(), v1::OUTCOME_MISS_LEADER);

  grpc::ClientContext context;
  context.AddMetadata(rpc::kTenantKey, "acme");
  v1::GetResponse follower;
  grpc::CompletionQueue queue;
  auto call = stub_->AsyncGet(&context, get, &queue);
  grpc::Status status;
  call->Finish(&follower, &status, this);
  v1::PutRequest put;
  *put.mutable_entry()->mutable_key() = Key("k");
  put.mutable_entry()->set_value("v");
  put.set_lease(leader.lease());
  v1::PutResponse stored;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::Put, put, &stored).ok());
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(follower.value(), "v");
}

TEST_F(CacheFaceTest, RefusesWhatItCannotAccept) {
  v1::GetRequest get;
  v1::GetResponse got;
  grpc::Status status = Call(&v1::CacheService::Stub::Get, get, &got);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("key.namespace"));

  v1::BatchGetRequest batch;
  for (int i = 0; i < 3000; ++i) *batch.add_keys() = Key("k");
  v1::BatchGetResponse many;
  EXPECT_THAT(Call(&v1::CacheService::Stub::BatchGet, batch, &many).error_message(), HasSubstr("at most 2048"));

  v1::SemanticGetRequest semantic;
  v1::SemanticGetResponse meaning;
  EXPECT_EQ(Call(&v1::CacheService::Stub::SemanticGet, semantic, &meaning).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(CacheFaceTest, ReportsItsCounters) {
  v1::GetRequest get;
  *get.mutable_key() = Key("k");
  v1::GetResponse got;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::Get, get, &got).ok());
  v1::GetStatsResponse stats;
  ASSERT_TRUE(Call(&v1::CacheService::Stub::GetStats, v1::GetStatsRequest(), &stats).ok());
  ASSERT_EQ(stats.levels_size(), 1);
  EXPECT_EQ(stats.levels(0).misses(), 1);
  EXPECT_EQ(stats.process().service(), "cache");
  EXPECT_EQ(stats.process().facts().at("redis"), "off");
}

}  // namespace
}  // namespace alcove::cache
