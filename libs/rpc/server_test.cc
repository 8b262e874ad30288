#include "libs/rpc/server.h"

#include <functional>
#include <stdexcept>
#include <thread>

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include "alcove/cache/v1/cache.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "libs/common/fs.h"
#include "libs/net/raw_client.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/context.h"
#include "libs/rpc/face_for_test.h"
#include "libs/rpc/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/status_matchers.h"

namespace alcove::rpc {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;
class RpcServer : public ::testing::Test {
 protected:
  void SetUp() override {
    ALCOVE_ASSERT_OK_AND_ASSIGN(server_, Server::Start({}, {&face_}));
    server_->SetServing(true);
    ALCOVE_ASSERT_OK_AND_ASSIGN(channel_, MakeChannel(server_->address(), {.retry = false}));
    stub_ = cache::CacheService::NewStub(channel_);
  }

  absl::Status Get(const RequestContext& ctx, cache::GetResponse* response = nullptr) {
    grpc::ClientContext client;
    client.set_wait_for_ready(true);
    const CancellationRegistration registration = ContextToClient(ctx, client);
    cache::GetResponse ignored;
    return FromGrpc(stub_->Get(&client, {}, response == nullptr ? &ignored : response));
  }
  absl::Status Delete() {
    grpc::ClientContext client;
    client.set_wait_for_ready(true);
    cache::DeleteResponse response;
    return FromGrpc(stub_->Delete(&client, {}, &response));
  }

  Registry registry_;
  Face face_{registry_};
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<cache::CacheService::Stub> stub_;
};

TEST_F(RpcServer, CarriesTheWholeContextFromCallerToCallee) {
  RequestContext seen;
  face_.on_get = [&](const RequestContext& ctx, cache::GetResponse& response) {
    seen = ctx;
    response.set_value("v");
    return absl::OkStatus();
  };
  const RequestContext sent = FullContext();
  cache::GetResponse response;
  ALCOVE_ASSERT_OK(Get(sent, &response));
  EXPECT_EQ(response.value(), "v");
  ExpectCarried(sent, seen);
}

TEST_F(RpcServer, MakesUpWhatACallerLeavesOut) {
  RequestContext seen;
  face_.on_get = [&](const RequestContext& ctx, cache::GetResponse&) {
    seen = ctx;
    return absl::OkStatus();
  };
  grpc::ClientContext client;
  client.set_wait_for_ready(true);
  client.AddMetadata("x-alcove-tenant", std::string(500, 't'));
  client.AddMetadata("traceparent", "nonsense");
  cache::GetResponse response;
  ASSERT_TRUE(stub_->Get(&client, {}, &response).ok());
  EXPECT_EQ(seen.tenant(), "");
  EXPECT_EQ(seen.request_id().size(), 32u);
  EXPECT_TRUE(seen.trace().valid());
  EXPECT_TRUE(seen.has_deadline()) << "a call without a deadline gets the default";
}

TEST_F(RpcServer, MapsStatusesAndStopsExceptions) {
  face_.on_get = [](const RequestContext&, cache::GetResponse&) { return NotFound("entry", "k"); };
  const absl::Status missing = Get({});
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kNotFound, HasSubstr("entry \"k\" not found")));
  EXPECT_EQ(GetErrorDetails(missing).resource->name, "k");
  face_.on_get = [](const RequestContext&, cache::GetResponse&) -> absl::Status { throw std::runtime_error("secret"); };
  const absl::Status thrown = Get(RequestContext({"t", "req-9", "", {}}));
  EXPECT_THAT(thrown, StatusIs(absl::StatusCode::kInternal, HasSubstr("request id req-9")));
  EXPECT_THAT(std::string(thrown.message()), ::testing::Not(HasSubstr("secret")));
  const std::string metrics = registry_.Render();
  EXPECT_THAT(metrics, HasSubstr("method=\"Get\",code=\"NOT_FOUND\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("method=\"Get\",code=\"INTERNAL\"} 1"));
  EXPECT_THAT(metrics,
              HasSubstr("alcove_rpc_server_in_flight{service=\"alcove.cache.v1.CacheService\",method=\"Get\"} 0"));
  EXPECT_THAT(metrics, HasSubstr("alcove_rpc_server_duration_seconds_count{service=\"alcove.cache.v1.CacheService\","
                                 "method=\"Get\"} 2"));
}

TEST_F(RpcServer, CancelsTheWorkWhenTheCallerGivesUp) {
  absl::Notification started;
  absl::Notification cancelled;
  face_.on_get = [&](const RequestContext& ctx, cache::GetResponse&) {
    const CancellationRegistration registration = ctx.cancellation().OnCancel([&] { cancelled.Notify(); });
    started.Notify();
    EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(10)));
    return ctx.Check();
  };
  CancellationSource source;
  std::thread caller([&] {
    EXPECT_THAT(Get(RequestContext().WithCancellation(source.token())), StatusIs(absl::StatusCode::kCancelled));
  });
  started.WaitForNotification();
  source.Cancel();
  caller.join();
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(10)));
  // The caller had its answer long before; the work must be over before what it uses goes.
  (void)server_->Drain(absl::Now() + absl::Seconds(10));
}

TEST_F(RpcServer, BearsManyCallsGivenUp) {
  // As hedged calls are: more at once than a public door would stand from one client.
  absl::Mutex mu;
  std::vector<Finish> waiting;
  face_.on_delete = [&](const RequestContext&, Finish finish) {
    absl::MutexLock lock(&mu);
    waiting.push_back(std::move(finish));
  };
  for (int i = 0; i < 3000; ++i) {
    grpc::ClientContext client;
    client.set_wait_for_ready(true);
    cache::DeleteResponse response;
    const cache::DeleteRequest request;
    absl::Notification done;
    stub_->async()->Delete(&client, &request, &response, [&](const grpc::Status&) { done.Notify(); });
    {
      const auto arrived = [&] { return waiting.size() == static_cast<size_t>(i) + 1; };
      absl::MutexLock lock(&mu);
      ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&arrived), absl::Seconds(10))) << i;
    }
    client.TryCancel();
    done.WaitForNotification();
  }
  face_.on_get = [](const RequestContext&, cache::GetResponse&) { return absl::OkStatus(); };
  ALCOVE_EXPECT_OK(Get({}));
  EXPECT_EQ(server_->stats().connections_accepted, 1u) << "none was thrown out";
  for (Finish& finish : waiting) finish(absl::CancelledError("given up"));
}

TEST_F(RpcServer, ForgetsStreamsThatEndBeforeTheirRequestIsRead) {
  namespace h2 = net::h2;
  net::RawClient client(server_->port());
  const std::string head = h2::Request("POST", "/grpc.health.v1.Health/Watch") +
                           h2::Head({{"content-type", "application/grpc"}, {"te", "trailers"}});
  std::string all = h2::Hello();
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    // All of it arrives in one piece: the request is there when the stream is gone.
    all += h2::Frame(h2::kHeaders, h2::kEndHeaders, stream, head) +
           h2::Frame(h2::kData, h2::kEndStream, stream, std::string(5, '\0')) +
           h2::Frame(h2::kRst, 0, stream, h2::Number(8));
  }
  ASSERT_TRUE(client.Send(all + h2::Frame(h2::kPing, 0, 0, std::string(8, 'p'))));
  ASSERT_TRUE(h2::WaitFor(client, h2::kPing).has_value());
  client.Close();
  // Waits for every call that something still refers to.
  absl::Notification drained;
  std::thread drain([&] {
    ALCOVE_EXPECT_OK(server_->Drain(absl::Now() + absl::Seconds(10)));
    drained.Notify();
  });
  EXPECT_TRUE(drained.WaitForNotificationWithTimeout(absl::Seconds(20)));
  if (!drained.HasBeenNotified()) std::_Exit(1);  // the drain would never come back
  drain.join();
}

TEST_F(RpcServer, TellsTheWorkWhenItsDeadlinePasses) {
  absl::Notification done;
  face_.on_get = [&](const RequestContext& ctx, cache::GetResponse&) {
    absl::Notification late;
    const CancellationRegistration registration = ctx.cancellation().OnCancel([&] { late.Notify(); });
    EXPECT_TRUE(late.WaitForNotificationWithTimeout(absl::Seconds(10)));
    done.Notify();
    return ctx.Check();
  };
  EXPECT_THAT(Get(RequestContext().WithTimeout(absl::Milliseconds(200))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST_F(RpcServer, EndsAsynchronousCallsFromAnyThread) {
  std::thread later;
  face_.on_delete = [&](const RequestContext&, Finish finish) {
    later = std::thread([finish = std::move(finish)]() mutable { finish(absl::AbortedError("later")); });
  };
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kAborted, "later"));
  later.join();
  face_.on_delete = [](const RequestContext&, Finish) {};
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kInternal, HasSubstr("given up")));
  face_.on_delete = [](const RequestContext&, Finish) { throw std::runtime_error("x"); };
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(RpcServer, AnswersUnimplementedForMethodsNotBuilt) {
  grpc::ClientContext client;
  client.set_wait_for_ready(true);
  cache::PutResponse response;
  EXPECT_EQ(stub_->Put(&client, {}, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(RpcServer, ReportsHealthByCheckAndWatch) {
  const auto health = Health::NewStub(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  const auto check = [&](const std::string& name) {
    grpc::ClientContext client;
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const grpc::Status status = health->Check(&client, request, &response);
    return status.ok() ? static_cast<int>(response.status()) : -static_cast<int>(status.error_code());
  };
  EXPECT_EQ(check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(check(kService), HealthCheckResponse::SERVING);
  EXPECT_EQ(check("nobody"), -grpc::StatusCode::NOT_FOUND);

  grpc::ClientContext watch_context;
  HealthCheckRequest request;
  request.set_service(kService);
  const auto watch = health->Watch(&watch_context, request);
  HealthCheckResponse update;
  ASSERT_TRUE(watch->Read(&update));
  EXPECT_EQ(update.status(), HealthCheckResponse::SERVING);
  server_->SetServing(false);
  ASSERT_TRUE(watch->Read(&update));
  EXPECT_EQ(update.status(), HealthCheckResponse::NOT_SERVING);
  server_->SetServing(true);
  ASSERT_TRUE(watch->Read(&update));
  EXPECT_EQ(update.status(), HealthCheckResponse::SERVING);

  grpc::ClientContext unknown_context;
  request.set_service("nobody");
  const auto unknown = health->Watch(&unknown_context, request);
  ASSERT_TRUE(unknown->Read(&update));
  EXPECT_EQ(update.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  unknown_context.TryCancel();

  // A drain tells the watcher and does not wait for it.
  ALCOVE_EXPECT_OK(server_->Drain(absl::Now() + absl::Seconds(20)));
  ASSERT_TRUE(watch->Read(&update));
  EXPECT_EQ(update.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&update));
}

template <typename Service, typename Request, typename Response>
void CheckReflection(const std::string& address) {
  const auto stub = Service::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext client;
  const auto stream = stub->ServerReflectionInfo(&client);
  const auto ask = [&](const Request& request) {
    Response response;
    EXPECT_TRUE(stream->Write(request));
    EXPECT_TRUE(stream->Read(&response));
    return response;
  };
  Request request;
  request.set_list_services("");
  const Response listed = ask(request);
  ASSERT_EQ(listed.list_services_response().service_size(), 2);
  EXPECT_EQ(listed.list_services_response().service(0).name(), kService);
  EXPECT_EQ(listed.list_services_response().service(1).name(), "grpc.health.v1.Health");
  request.set_file_containing_symbol(kService);
  EXPECT_GT(ask(request).file_descriptor_response().file_descriptor_proto_size(), 1) << "imports come along";
  request.set_file_containing_symbol("no.such.Thing");
  EXPECT_EQ(ask(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_file_by_filename("alcove/cache/v1/cache.proto");
  EXPECT_EQ(ask(request).file_descriptor_response().file_descriptor_proto_size(), 1) << "imports were sent before";
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  EXPECT_GT(ask(request).all_extension_numbers_response().extension_number_size(), 0);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(RpcServer, DescribesItselfByBothVersionsOfReflection) {
  CheckReflection<grpc::reflection::v1::ServerReflection, grpc::reflection::v1::ServerReflectionRequest,
                  grpc::reflection::v1::ServerReflectionResponse>(server_->address());
  CheckReflection<grpc::reflection::v1alpha::ServerReflection, grpc::reflection::v1alpha::ServerReflectionRequest,
                  grpc::reflection::v1alpha::ServerReflectionResponse>(server_->address());
}

TEST_F(RpcServer, SaysWhichAddressIsTaken) {
  Face other{registry_};
  EXPECT_THAT(Server::Start({.listen = server_->address()}, {&other}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen on " + server_->address())));
  EXPECT_THAT(Server::Start({.listen = "nonsense"}, {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RpcServer, RefusesMessagesOverItsLimit) {
  Face small{registry_};
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto server, Server::Start({.max_message_bytes = 65536}, {&small}));
  server->SetServing(true);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto channel, MakeChannel(server->address()));
  grpc::ClientContext client;
  client.set_wait_for_ready(true);
  cache::GetRequest request;
  request.mutable_key()->set_namespace_(std::string(100'000, 'x'));
  cache::GetResponse response;
  EXPECT_EQ(cache::CacheService::NewStub(channel)->Get(&client, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(RpcTls, ServesMutualTlsAndRefusesStrangers) {
  const alcove::testing::TempDir folder;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const TlsFiles files, MakeTlsFiles(folder, "localhost", "127.0.0.1"));
  Registry registry;
  Face face{registry};
  face.on_get = [](const RequestContext&, cache::GetResponse&) { return absl::OkStatus(); };
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto server, Server::Start({.tls = files}, {&face}));
  server->SetServing(true);
  const auto call = [&](const TlsFiles& client_files) {
    auto channel = MakeChannel(server->address(), {.retry = false, .health_check = false, .tls = client_files});
    EXPECT_THAT(channel, IsOk());
    grpc::ClientContext client;
    client.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    cache::GetResponse response;
    return cache::CacheService::NewStub(*channel)->Get(&client, {}, &response);
  };
  const grpc::Status trusted = call(files);
  EXPECT_TRUE(trusted.ok()) << trusted.error_message();
  EXPECT_EQ(call({"", "", files.ca}).error_code(), grpc::StatusCode::UNAVAILABLE) << "no client certificate";
  EXPECT_EQ(call({}).error_code(), grpc::StatusCode::UNAVAILABLE) << "cleartext";
}

TEST(RpcTls, NamesTheFileThatIsWrong) {
  EXPECT_THAT(CheckServerTls({"/nonexistent.pem", "/nonexistent.key", ""}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("TLS certificate: cannot open /nonexistent.pem")));
  EXPECT_THAT(CheckServerTls({"/etc/hostname", "", ""}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MakeChannelCredentials({"", "", "/etc/passwd"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a PEM file")));
  EXPECT_THAT(MakeChannel(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace alcove::rpc
