// Streams, aliases and quotas of one process over real gRPC and SQLite.
#include <memory>
#include <string>
#include <thread>

#include <absl/strings/str_cat.h>

#include "libs/common/config.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/context.h"
#include "libs/rpc/status.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/vector-search/convert.h"
#include "services/vector-search/node.h"

namespace alcove::vector_search {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

using Stub = pb::VectorService::Stub;

class ClusterServiceTest : public ::testing::Test {
 protected:
  void Start(const std::string& yaml = "") {
    auto config = DefaultConfig<config::v1::VectorSearchConfig>();
    if (!yaml.empty()) {
      ASSERT_THAT(MergeConfigYaml(yaml, "test", config), IsOk());
    }
    config.mutable_store()->set_url("sqlite:" + dir_.File("store/test.db"));
    config.mutable_store()->set_durability("normal");
    config.set_data_dir(dir_.File("data"));
    auto node = Node::Make(config, registry_, loops_);
    ASSERT_THAT(node, IsOk());
    node_ = *std::move(node);
    auto server = rpc::Server::Start({.loops = &loops_}, node_->Services());
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    node_->OnListening(server_->address());
    server_->SetServing(true);
    stub_ = pb::VectorService::NewStub(rpc::MakeChannel(server_->address()).value());
  }
  void TearDown() override {
    if (server_ != nullptr) (void)server_->Drain(absl::Now() + absl::Seconds(5));
    server_ = nullptr;
    node_ = nullptr;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, const std::string& tenant = "t") {
    grpc::ClientContext client;
    const RequestContext ctx({.tenant = tenant, .request_id = "r"}, absl::Now() + absl::Seconds(20));
    const auto registration = rpc::ContextToClient(ctx, client);
    Response response;
    const absl::Status status = rpc::FromGrpc((stub_.get()->*method)(&client, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::Status Create(const std::string& name, const std::string& tenant = "t") {
    pb::CreateCollectionRequest request;
    request.mutable_collection()->set_name(name);
    (*request.mutable_collection()->mutable_vectors())[""].set_dimension(2);
    return Call(&Stub::CreateCollection, request, tenant).status();
  }
  absl::Status Upsert(const std::string& collection, int first, int count, const std::string& tenant = "t") {
    pb::UpsertPointsRequest request;
    request.set_collection(collection);
    request.set_wait(true);
    AddPoints(first, count, request.mutable_points());
    return Call(&Stub::UpsertPoints, request, tenant).status();
  }
  int64_t Count(const std::string& collection) {
    pb::CountPointsRequest request;
    request.set_collection(collection);
    return Call(&Stub::CountPoints, request)->count();
  }
  static void AddPoints(int first, int count, google::protobuf::RepeatedPtrField<pb::Point>* out) {
    for (int i = first; i < first + count; ++i) {
      pb::Point* point = out->Add();
      point->set_id(absl::StrCat("p", i));
      point->add_vector(static_cast<float>(i + 1));
      point->add_vector(1);
    }
  }

  // An upload under way.
  struct Upload {
    grpc::ClientContext client;
    CancellationRegistration registration;
    std::unique_ptr<grpc::ClientReaderWriter<pb::StreamUpsertPointsRequest, pb::StreamUpsertPointsResponse>> stream;
    uint64_t position = 0;

    bool Send(const std::string& collection, int first, int count) {
      pb::StreamUpsertPointsRequest request;
      request.set_collection(collection);
      request.set_position(++position);
      AddPoints(first, count, request.mutable_points());
      return stream->Write(request);
    }
    absl::Status End() {
      stream->WritesDone();
      // A stream ends for its client when all that came was read.
      pb::StreamUpsertPointsResponse unread;
      while (stream->Read(&unread)) {
      }
      return rpc::FromGrpc(stream->Finish());
    }
  };
  std::unique_ptr<Upload> Open() {
    auto upload = std::make_unique<Upload>();
    const RequestContext ctx({.tenant = "t", .request_id = "r"}, absl::Now() + absl::Seconds(60));
    upload->registration = rpc::ContextToClient(ctx, upload->client);
    upload->stream = stub_->StreamUpsertPoints(&upload->client);
    return upload;
  }

  const testing::TempDir dir_;
  Registry registry_;
  net::LoopThreads loops_{1};
  std::unique_ptr<Node> node_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Stub> stub_;
};

TEST_F(ClusterServiceTest, AStreamIsAcknowledgedMessageByMessageInOrder) {
  Start();
  ASSERT_THAT(Create("docs"), IsOk());
  auto upload = Open();
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(upload->Send(i == 0 ? "docs" : "", i * 20, 20));
    upload->stream->WritesDone();
  });
  pb::StreamUpsertPointsResponse ack;
  uint64_t expected = 0;
  std::string last;
  while (upload->stream->Read(&ack)) {
    EXPECT_EQ(ack.position(), ++expected);
    EXPECT_EQ(ack.upserted(), 20u);
    last = ack.sequence();
  }
  writer.join();
  EXPECT_THAT(rpc::FromGrpc(upload->stream->Finish()), IsOk());
  EXPECT_EQ(expected, 100u);
  pb::GetPointsRequest get;
  get.set_collection("docs");
  get.set_min_sequence(last);
  for (int i = 0; i < 1000; ++i) get.add_ids(absl::StrCat("p", i * 2));
  EXPECT_EQ(Call(&Stub::GetPoints, get)->points_size(), 1000);
  EXPECT_THAT(registry_.Render(), HasSubstr("alcove_vector_stream_messages_total 100"));
}

TEST_F(ClusterServiceTest, TheLastMessageAboutAPointWins) {
  Start();
  ASSERT_THAT(Create("docs"), IsOk());
  auto upload = Open();
  for (int i = 0; i < 50; ++i) {
    pb::StreamUpsertPointsRequest request;
    request.set_collection("docs");
    pb::Point* point = request.add_points();
    point->set_id("same");
    point->add_vector(1);
    point->add_vector(static_cast<float>(i));
    ASSERT_TRUE(upload->stream->Write(request));
  }
  ASSERT_THAT(upload->End(), IsOk());
  ASSERT_THAT(Upsert("docs", 0, 100), IsOk());  // waits for all that came before
  pb::GetPointsRequest get;
  get.set_collection("docs");
  get.add_ids("same");
  get.set_with_vectors(true);
  const auto found = Call(&Stub::GetPoints, get);
  ASSERT_THAT(found, IsOk());
  EXPECT_NEAR(found->points(0).vector(1) / found->points(0).vector(0), 49, 0.5);
}

TEST_F(ClusterServiceTest, ABadMessageEndsTheStreamAndIsNamed) {
  Start();
  ASSERT_THAT(Create("docs"), IsOk());
  auto upload = Open();
  ASSERT_TRUE(upload->Send("docs", 0, 3));
  pb::StreamUpsertPointsResponse ack;
  ASSERT_TRUE(upload->stream->Read(&ack));
  pb::StreamUpsertPointsRequest bad;
  AddPoints(10, 2, bad.mutable_points());
  bad.mutable_points(1)->add_vector(3);
  ASSERT_TRUE(upload->stream->Write(bad));
  EXPECT_FALSE(upload->stream->Read(&ack));
  EXPECT_THAT(upload->End(), StatusIs(absl::StatusCode::kInvalidArgument,
                                      ::testing::AllOf(HasSubstr("message 2"), HasSubstr("points[1]"))));
  ASSERT_THAT(Upsert("docs", 0, 3), IsOk());  // the same points: waits until all shards have what came before
  EXPECT_EQ(Count("docs"), 3);                // nothing of the bad message

  // Sent without waiting: all that came before it is stored and acknowledged, nothing that came after.
  auto eager = Open();
  for (int i = 0; i < 60; ++i) {
    if (i == 40) {
      eager->stream->Write(bad);
    } else {
      eager->Send(i == 0 ? "docs" : "", 1000 + 5 * i, 5);
    }
  }
  for (uint64_t i = 1; i <= 40; ++i) {
    ASSERT_TRUE(eager->stream->Read(&ack)) << i;
    EXPECT_EQ(ack.position(), i);
  }
  EXPECT_FALSE(eager->stream->Read(&ack));
  EXPECT_THAT(eager->End(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("message 41")));
  ASSERT_THAT(Upsert("docs", 1000, 40 * 5), IsOk());
  EXPECT_EQ(Count("docs"), 3 + 40 * 5);

  auto unknown = Open();
  unknown->Send("nowhere", 0, 1);
  EXPECT_THAT(unknown->End(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  auto other = Open();
  ASSERT_TRUE(other->Send("docs", 0, 1));
  other->Send("else", 0, 1);
  EXPECT_THAT(other->End(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("began with")));
  auto nothing = Open();
  EXPECT_THAT(nothing->End(), IsOk());
  auto empty = Open();
  empty->Send("docs", 0, 0);
  EXPECT_THAT(empty->End(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 to")));
}

TEST_F(ClusterServiceTest, AClientThatGoesAwayLeavesWhatWasAcknowledged) {
  Start();
  ASSERT_THAT(Create("docs"), IsOk());
  pb::StreamUpsertPointsResponse ack;
  {
    auto upload = Open();
    ASSERT_TRUE(upload->Send("docs", 0, 5));
    ASSERT_TRUE(upload->stream->Read(&ack));
    upload->client.TryCancel();
    EXPECT_THAT(rpc::FromGrpc(upload->stream->Finish()), StatusIs(absl::StatusCode::kCancelled));
  }
  pb::GetPointsRequest get;
  get.set_collection("docs");
  get.set_min_sequence(ack.sequence());
  for (int i = 0; i < 5; ++i) get.add_ids(absl::StrCat("p", i));
  EXPECT_EQ(Call(&Stub::GetPoints, get)->points_size(), 5);
}

TEST_F(ClusterServiceTest, ADrainEndsUploadsWithWhatTheyHaveSentStored) {
  Start();
  ASSERT_THAT(Create("docs"), IsOk());
  auto upload = Open();
  ASSERT_TRUE(upload->Send("docs", 0, 5));
  pb::StreamUpsertPointsResponse ack;
  ASSERT_TRUE(upload->stream->Read(&ack));
  node_->BeginDrain();
  while (upload->stream->Read(&ack)) {
  }
  EXPECT_THAT(rpc::FromGrpc(upload->stream->Finish()), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
}

TEST_F(ClusterServiceTest, AnAliasStandsForItsCollection) {
  Start();
  ASSERT_THAT(Create("blue"), IsOk());
  ASSERT_THAT(Create("green"), IsOk());
  ASSERT_THAT(Upsert("blue", 0, 3), IsOk());
  ASSERT_THAT(Upsert("green", 0, 7), IsOk());
  const auto lead = [&](const std::string& to) {
    pb::SetAliasRequest request;
    request.set_alias("live");
    request.set_collection(to);
    return Call(&Stub::SetAlias, request).status();
  };
  EXPECT_THAT(lead("nowhere"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  ASSERT_THAT(lead("blue"), IsOk());
  EXPECT_EQ(Count("live"), 3);
  ASSERT_THAT(lead("green"), IsOk());
  EXPECT_EQ(Count("live"), 7);
  ASSERT_THAT(Upsert("live", 7, 1), IsOk());
  EXPECT_EQ(Count("green"), 8);
  const auto listed = Call(&Stub::ListAliases, pb::ListAliasesRequest());
  ASSERT_THAT(listed, IsOk());
  ASSERT_EQ(listed->aliases_size(), 1);
  EXPECT_EQ(listed->aliases(0).collection(), "green");
  EXPECT_EQ(Call(&Stub::ListAliases, pb::ListAliasesRequest(), "other")->aliases_size(), 0);
  pb::CountPointsRequest count;
  count.set_collection("live");
  EXPECT_THAT(Call(&Stub::CountPoints, count, "other").status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Create("live"), StatusIs(absl::StatusCode::kAlreadyExists));
  pb::DeleteCollectionRequest remove;
  remove.set_name("live");
  EXPECT_THAT(Call(&Stub::DeleteCollection, remove).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("alias of collection \"green\"")));
  remove.set_name("green");
  EXPECT_THAT(Call(&Stub::DeleteCollection, remove).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"live\"")));
  pb::DeleteAliasRequest forget;
  forget.set_alias("live");
  ASSERT_THAT(Call(&Stub::DeleteAlias, forget), IsOk());
  EXPECT_THAT(Call(&Stub::CountPoints, count).status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Call(&Stub::DeleteCollection, remove), IsOk());
}

TEST_F(ClusterServiceTest, QuotasHoldForEachTenantAlone) {
  Start("quotas: [{collections: 2, points: 10}, {tenant: big, points: 1000}, {tenant: heavy, bytes: 1000000}]");
  ASSERT_THAT(Create("a"), IsOk());
  ASSERT_THAT(Create("b"), IsOk());
  EXPECT_THAT(Create("c"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("quota is 2")));
  ASSERT_THAT(Create("a", "big"), IsOk());
  ASSERT_THAT(Upsert("a", 0, 6), IsOk());
  EXPECT_THAT(Upsert("b", 0, 5), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("quota is 10")));
  ASSERT_THAT(Upsert("b", 0, 4), IsOk());
  // Full: replacing goes on, and so does every other tenant.
  EXPECT_THAT(Upsert("a", 0, 6), IsOk());
  EXPECT_THAT(Upsert("a", 5, 2), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1 more")));
  EXPECT_EQ(Count("a") + Count("b"), 10);
  EXPECT_THAT(Upsert("a", 0, 500, "big"), IsOk());
  auto upload = Open();
  upload->Send("a", 100, 1);
  EXPECT_THAT(upload->End(), StatusIs(absl::StatusCode::kResourceExhausted));

  ASSERT_THAT(Create("a", "heavy"), IsOk());
  absl::Status status;
  // Memory is measured once a second.
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  for (int i = 0; status.ok() && absl::Now() < give_up; ++i) status = Upsert("a", i * 500, 500, "heavy");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("tenant \"heavy\"")));
}

}  // namespace
}  // namespace alcove::vector_search
