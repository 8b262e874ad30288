// The proxy between the reference implementation's client and server: what gRPC C++ sends and expects must survive.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/sync_stream.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "libs/net/server.h"
#include "services/gateway/upstream/grpc_proxy.h"

namespace alcove::gateway {
namespace {

using grpc::ByteBuffer;

ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return ByteBuffer(&slice, 1);
}
std::string Text(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices).ok();
  std::string text;
  for (const grpc::Slice& s : slices) text.append(reinterpret_cast<const char*>(s.begin()), s.size());
  return text;
}

// Echoes every message; /x.X/Fail ends with a status and details, /x.X/Hang waits to be cancelled.
class EchoService final : public grpc::CallbackGenericService {
 public:
  absl::Notification started;
  absl::Notification cancelled;

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor(EchoService* service, grpc::GenericCallbackServerContext* context)
          : service_(service), method_(context->method()) {
        context->AddInitialMetadata("initial", "yes");
        context->AddTrailingMetadata("trailing-bin", std::string("\0\1\2", 3));
        const auto tenant = context->client_metadata().find("x-alcove-tenant");
        if (tenant != context->client_metadata().end()) {
          context->AddTrailingMetadata("seen-tenant", std::string(tenant->second.data(), tenant->second.size()));
        }
        if (method_ == "/x.X/Fail") {
          Finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "not yet: \xC3\xBC", "\x08\x09"));
        } else {
          StartRead(&request_);
        }
      }
      void OnReadDone(bool ok) override {
        if (method_ == "/x.X/Hang") {
          service_->started.Notify();
          return;
        }
        if (!ok) {
          Finish(grpc::Status::OK);
        } else {
          StartWrite(&request_);
        }
      }
      void OnWriteDone(bool ok) override {
        if (ok) StartRead(&request_);
      }
      void OnCancel() override {
        if (method_ == "/x.X/Hang") {
          service_->cancelled.Notify();
          Finish(grpc::Status::CANCELLED);
        }
      }
      void OnDone() override { delete this; }

     private:
      EchoService* service_;
      const std::string method_;
      ByteBuffer request_;
    };
    return new Reactor(this, context);
  }
};

class ProxyOnly final : public net::Handler {
 public:
  ProxyOnly(net::Loop& loop, const std::string& backend) : upstreams_(loop) {
    UpstreamOptions options;
    options.name = "x";
    options.endpoints = {backend};
    UpstreamPool& pool = upstreams_.Add(options);
    GrpcProxyOptions proxy;
    proxy.route = [&pool](std::string_view) { return &pool; };
    proxy.authenticate = [](const net::ServerStream&) -> absl::StatusOr<std::shared_ptr<Identity>> {
      auto identity = std::make_shared<Identity>();
      identity->tenant = "acme";
      return identity;
    };
    proxy_ = std::make_unique<GrpcProxy>(loop, std::move(proxy));
    upstreams_.Start();
  }
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override { exchange->Respond({.status = 404}); }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override { return proxy_->Accept(stream); }

 private:
  UpstreamSet upstreams_;
  std::unique_ptr<GrpcProxy> proxy_;
};

class InteropTest : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(&service_);
    builder.SetMaxReceiveMessageSize(-1);
    backend_ = builder.BuildAndStart();
    ASSERT_NE(backend_, nullptr);
    net::ServerOptions options;
    options.port = 0;
    options.threads = 2;
    auto gateway = net::Server::Start(options, [port](net::Loop& loop) {
      return std::make_unique<ProxyOnly>(loop, absl::StrCat("127.0.0.1:", port));
    });
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", gateway_->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
  }
  void TearDown() override {
    channel_.reset();
    gateway_.reset();
    backend_->Shutdown(std::chrono::system_clock::now());
  }
  grpc::Status Unary(grpc::ClientContext& context, const char* method, const std::string& request, std::string& reply) {
    ByteBuffer in = Bytes(request), out;
    const grpc::Status status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), grpc::internal::RpcMethod(method, grpc::internal::RpcMethod::NORMAL_RPC), &context, in, &out);
    if (status.ok()) reply = Text(out);
    return status;
  }
  EchoService service_;
  std::unique_ptr<grpc::Server> backend_;
  std::unique_ptr<net::Server> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(InteropTest, AUnaryCallWithMetadataBothWays) {
  grpc::ClientContext context;
  context.AddMetadata("x-alcove-tenant", "forged");
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  std::string reply;
  const grpc::Status status = Unary(context, "/x.X/Echo", "hello", reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply, "hello");
  EXPECT_EQ(context.GetServerInitialMetadata().count("initial"), 1u);
  const auto& trailing = context.GetServerTrailingMetadata();
  ASSERT_EQ(trailing.count("trailing-bin"), 1u);
  EXPECT_EQ(trailing.find("trailing-bin")->second, grpc::string_ref("\0\1\2", 3));
  EXPECT_EQ(trailing.find("seen-tenant")->second, "acme");
}

TEST_F(InteropTest, EmptyAndLargeMessages) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{16384}, size_t{65536}, size_t{3} << 20}) {
    grpc::ClientContext context;
    std::string reply;
    const std::string request(size, 'x');
    const grpc::Status status = Unary(context, "/x.X/Echo", request, reply);
    ASSERT_TRUE(status.ok()) << size << ": " << status.error_message();
    EXPECT_TRUE(reply == request) << size;
  }
}

TEST_F(InteropTest, AStatusWithMessageAndDetails) {
  grpc::ClientContext context;
  std::string reply;
  const grpc::Status status = Unary(context, "/x.X/Fail", "x", reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "not yet: \xC3\xBC");
  EXPECT_EQ(status.error_details(), "\x08\x09");
}

TEST_F(InteropTest, ABidirectionalConversation) {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
          channel_.get(), grpc::internal::RpcMethod("/x.X/Echo", grpc::internal::RpcMethod::BIDI_STREAMING), &context));
  for (int i = 0; i < 100; ++i) {
    const std::string message = absl::StrCat("message ", i);
    ASSERT_TRUE(stream->Write(Bytes(message)));
    ByteBuffer reply;
    ASSERT_TRUE(stream->Read(&reply));
    EXPECT_EQ(Text(reply), message);
  }
  stream->WritesDone();
  ByteBuffer none;
  EXPECT_FALSE(stream->Read(&none));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(InteropTest, CancellingTheClientCancelsTheServer) {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
          channel_.get(), grpc::internal::RpcMethod("/x.X/Hang", grpc::internal::RpcMethod::BIDI_STREAMING), &context));
  ASSERT_TRUE(stream->Write(Bytes("x")));
  service_.started.WaitForNotification();
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(service_.cancelled.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST_F(InteropTest, TheDeadlineEndsAHangingCall) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  std::string reply;
  EXPECT_EQ(Unary(context, "/x.X/Hang", "x", reply).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(service_.cancelled.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST_F(InteropTest, ManyCallsAtOnce) {
  constexpr int kCalls = 500;
  absl::Mutex mu;
  int done = 0, good = 0;
  struct Call {
    grpc::ClientContext context;
    ByteBuffer request, reply;
  };
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    call.request = Bytes(absl::StrCat("call ", i));
    grpc::internal::CallbackUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), grpc::internal::RpcMethod("/x.X/Echo", grpc::internal::RpcMethod::NORMAL_RPC), &call.context,
        &call.request, &call.reply, [&, i](grpc::Status status) {
          absl::MutexLock lock(&mu);
          ++done;
          good += status.ok() && Text(calls[static_cast<size_t>(i)]->reply) == absl::StrCat("call ", i);
        });
  }
  absl::MutexLock lock(&mu);
  mu.Await(absl::Condition(
      +[](int* n) { return *n == kCalls; }, &done));
  EXPECT_EQ(good, kCalls);
}

}  // namespace
}  // namespace alcove::gateway
