// The gateway in one process, without anything behind it: what the doors do before a backend is asked.
#include "services/gateway/service/app.h"

#include <filesystem>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <boost/asio/co_spawn.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "alcove/vector/v1/vector.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/net/server.h"
#include "services/gateway/access/bootstrap.h"
#include "services/gateway/upstream/grpc_client.h"

namespace alcove::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Reply {
  int status = 0;
  std::string head;  // lower-case names
  std::string body;
};

// One HTTP/1.1 request on a connection of its own; the reply up to the end of the connection.
Reply Fetch(uint16_t port, const std::string& method, const std::string& target, const std::string& headers = "",
            const std::string& body = "") {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = absl::StrCat(method, " ", target, " HTTP/1.1\r\nhost: test\r\nconnection: close\r\n",
                                           headers, "content-length: ", body.size(), "\r\n\r\n", body);
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t n = ::send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) break;  // the server may have answered and closed already
    sent += static_cast<size_t>(n);
  }
  std::string all;
  char buffer[16384];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;) all.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  Reply reply;
  const size_t end = all.find("\r\n\r\n");
  if (all.size() < 12 || end == std::string::npos) return reply;
  EXPECT_TRUE(absl::SimpleAtoi(all.substr(9, 3), &reply.status));
  reply.head = all.substr(0, end);
  reply.body = all.substr(end + 4);
  return reply;
}

class AppTest : public ::testing::Test {
 protected:
  virtual AppOptions Options() {
    AppOptions options;
    options.version = "9.9";
    options.max_body_bytes = 4096;
    options.access_log = AccessLog::kNone;
    options.cors_origins = {"https://app.example"};
    for (const char* name : {"inference", "vector-search"}) {
      UpstreamOptions upstream;
      upstream.name = name;
      upstream.endpoints = {"127.0.0.1:1"};
      upstream.connect_timeout = absl::Milliseconds(200);
      options.upstreams.push_back(upstream);
    }
    return options;
  }
  void SetUp() override {
    dir_ = ::testing::TempDir() + "app_" + std::to_string(::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    auto store = store::Open("sqlite:" + dir_ + "/test.db");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    ASSERT_TRUE(BootstrapKeys(*store_, {dir_, ""}).ok());
    key_ = ReadFile(dir_ + "/admin.key", 1000)->substr(0, 48);
    KeyDirectoryOptions keys;
    keys.burst = 200;
    keys.rate_per_second = 1;
    directory_ = std::make_unique<KeyDirectory>(&store_->keys(), keys);
    auto shared = SharedState::Create(Options(), store_.get(), directory_.get(), registry_);
    ASSERT_TRUE(shared.ok()) << shared.status();
    shared_ = *std::move(shared);
    net::ServerOptions server;
    server.port = 0;
    server.threads = 1;
    auto started =
        net::Server::Start(server, [this](net::Loop& loop) { return std::make_unique<App>(loop, *shared_); });
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  void TearDown() override {
    if (shared_ != nullptr) shared_->draining.store(true);
    server_.reset();
    if (shared_ != nullptr) shared_->workers.join();
    shared_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  Reply Get(const std::string& target, const std::string& headers = "") {
    return Fetch(server_->port(), "GET", target, headers);
  }
  Reply Send(const std::string& method, const std::string& target, const std::string& body,
             const std::string& headers = "") {
    return Fetch(server_->port(), method, target, Key() + headers, body);
  }
  std::string Key() const { return "authorization: Bearer " + key_ + "\r\n"; }

  // A unary gRPC call through the gateway, from a loop of its own.
  absl::StatusOr<std::string> Grpc(const std::string& path, const std::string& message, const std::string& key) {
    net::Loop loop(0);
    UpstreamSet set(loop);
    UpstreamOptions options;
    options.name = "gateway";
    options.endpoints = {absl::StrCat("127.0.0.1:", server_->port())};
    options.active_health = false;
    set.Add(options);
    GrpcClient client(set);
    absl::StatusOr<std::string> result = absl::UnknownError("never answered");
    auto run = [&]() -> asio::awaitable<void> {
      CallOptions call;
      if (!key.empty()) call.metadata.Add("x-api-key", key);
      call.timeout = absl::Seconds(10);
      RequestContext ctx;
      std::string service = "gateway", method = path, request = message;
      result = co_await client.Unary(ctx, std::move(service), std::move(method), std::move(request), std::move(call));
    };
    std::thread thread([&] {
      set.Start();
      asio::co_spawn(loop.executor(), run, [&](std::exception_ptr) {
        set.Stop();
        loop.Stop();
      });
      loop.Run();
    });
    thread.join();
    return result;
  }

  std::string dir_;
  std::string key_;
  Registry registry_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<KeyDirectory> directory_;
  std::unique_ptr<SharedState> shared_;
  std::unique_ptr<net::Server> server_;
};

TEST_F(AppTest, ServesItsPagesWithoutAKey) {
  EXPECT_THAT(Get("/").body, HasSubstr("<title>Alcove</title>"));
  const Reply docs = Get("/docs");
  EXPECT_EQ(docs.status, 200);
  EXPECT_THAT(docs.head, HasSubstr("content-security-policy: default-src 'none'"));
  EXPECT_THAT(docs.body, Not(HasSubstr("src=\"http")));
  EXPECT_THAT(Get("/openapi.json").body, HasSubstr(R"("version":"9.9")"));
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(AppTest, IsNotReadyWithoutItsBackendsAndSaysWhy) {
  const Reply ready = Get("/health/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr(R"("ready":false)"));
  EXPECT_THAT(ready.body, HasSubstr("inference: no process answers"));
  const Reply call = Send("GET", "/v1/collections", "");
  EXPECT_EQ(call.status, 503);
  EXPECT_THAT(call.body, HasSubstr("vector-search"));
  const Reply status = Send("GET", "/v1/status", "");
  EXPECT_EQ(status.status, 200);
  EXPECT_THAT(status.body, HasSubstr("HEALTH_DOWN"));
}

TEST_F(AppTest, AnswersWhatHasNoRoute) {
  const Reply missing = Get("/v1/collection");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("did you mean /v1/collections?"));
  EXPECT_THAT(missing.head, HasSubstr("content-type: application/problem+json"));
  const Reply method = Send("PATCH", "/v1/keys", "");
  EXPECT_EQ(method.status, 405);
  EXPECT_THAT(method.head, HasSubstr("allow: GET, POST"));
  EXPECT_EQ(Get("/v1/%zz").status, 400);
  EXPECT_EQ(Send("POST", "/v1/graphs", "{}").status, 501);
  EXPECT_EQ(Send("POST", "/v1/chat/completions", "{}").status, 501);
}

TEST_F(AppTest, NeedsAKeyThatIsKnownAndAllowsTheCall) {
  const Reply none = Get("/v1/keys");
  EXPECT_EQ(none.status, 401);
  EXPECT_THAT(none.head, HasSubstr("www-authenticate: Bearer"));
  EXPECT_EQ(Get("/v1/keys", "x-api-key: alc_nobodyknowsthisone\r\n").status, 401);
  EXPECT_THAT(Get("/v1/models", "authorization: Bearer nonsense-nonsense\r\n").body, HasSubstr("invalid_api_key"));

  const Reply made = Send("POST", "/v1/keys", R"({"name":"reader","scopes":["read"]})");
  ASSERT_EQ(made.status, 200) << made.body;
  const size_t at = made.body.find("\"secret\":\"") + 10;
  const std::string reader = "x-api-key: " + made.body.substr(at, 48) + "\r\n";
  EXPECT_EQ(Get("/v1/status", reader).status, 200);
  const Reply denied = Get("/v1/keys", reader);
  EXPECT_EQ(denied.status, 403);
  EXPECT_THAT(denied.body, HasSubstr("admin"));
  const std::string id = made.body.substr(at + 4, 12);
  EXPECT_EQ(Send("DELETE", "/v1/keys/" + id, "").status, 200);
  EXPECT_EQ(Get("/v1/status", reader).status, 401);
  EXPECT_EQ(Send("DELETE", "/v1/keys/" + id + "x", "").status, 404);
}

TEST_F(AppTest, RefusesBodiesThatAreTooLargeOrNoJson) {
  EXPECT_EQ(Send("POST", "/v1/keys", std::string(5000, ' ')).status, 413);
  EXPECT_THAT(Send("POST", "/v1/keys", "{").body, HasSubstr("malformed JSON"));
  EXPECT_THAT(Send("POST", "/v1/keys", R"({"nam":"x"})").body, HasSubstr(R"("field":"nam")"));
  EXPECT_EQ(Send("POST", "/v1/keys", "{}", "content-type: multipart/form-data\r\n").status, 415);
  EXPECT_EQ(Send("POST", "/v1/keys", "{}", "content-encoding: gzip\r\n").status, 415);
  EXPECT_EQ(Send("POST", "/v1/keys", R"({"scopes":["root"]})").status, 400);
}

TEST_F(AppTest, CarriesRequestIdsTracesAndTimeouts) {
  const Reply reply = Send("GET", "/v1/keys", "",
                           "x-request-id: mine-1\r\ntraceparent: "
                           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
  EXPECT_THAT(reply.head, HasSubstr("x-request-id: mine-1"));
  EXPECT_THAT(reply.head, HasSubstr("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"));
  EXPECT_THAT(reply.head, HasSubstr("x-ratelimit-limit-requests: 200"));
  EXPECT_THAT(Send("GET", "/v1/keys", "", "x-request-id: has space\r\n").head, Not(HasSubstr("has space")));
  EXPECT_THAT(Send("GET", "/v1/keys", "", "x-request-timeout: soon\r\n").body, HasSubstr("x-request-timeout"));
  EXPECT_EQ(Send("GET", "/v1/keys", "", "x-request-timeout: 2.5\r\n").status, 200);
}

TEST_F(AppTest, CompressesForClientsThatAcceptIt) {
  const Reply plain = Get("/openapi.json");
  const Reply packed = Get("/openapi.json", "accept-encoding: br, gzip;q=0.8\r\n");
  EXPECT_THAT(packed.head, HasSubstr("content-encoding: gzip"));
  EXPECT_THAT(packed.head, HasSubstr("vary: accept-encoding"));
  EXPECT_LT(packed.body.size(), plain.body.size() / 4);
  EXPECT_THAT(Get("/openapi.json", "accept-encoding: gzip;q=0\r\n").head, Not(HasSubstr("content-encoding")));
  EXPECT_THAT(Get("/health", "accept-encoding: gzip\r\n").head, Not(HasSubstr("content-encoding")));
}

TEST_F(AppTest, LetsOnlyKnownOriginsCallFromABrowser) {
  const std::string origin = "origin: https://app.example\r\n";
  const Reply preflight =
      Fetch(server_->port(), "OPTIONS", "/v1/keys", origin + "access-control-request-method: GET\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_THAT(preflight.head, HasSubstr("access-control-allow-origin: https://app.example"));
  EXPECT_THAT(Get("/health", origin).head, HasSubstr("access-control-allow-origin: https://app.example"));
  EXPECT_THAT(Get("/health", "origin: https://evil.example\r\n").head, Not(HasSubstr("access-control-allow-origin")));
}

TEST_F(AppTest, StopsAKeyThatCallsTooOften) {
  Reply last;
  for (int i = 0; i < 400 && last.status != 429; ++i) last = Send("GET", "/v1/keys", "");
  EXPECT_EQ(last.status, 429);
  EXPECT_THAT(last.head, HasSubstr("retry-after: 1"));
  EXPECT_THAT(last.body, HasSubstr("RATE_LIMITED"));
}

TEST_F(AppTest, AnswersGrpcCallsOfItsOwnServices) {
  EXPECT_EQ(Grpc("/alcove.gateway.v1.KeyService/ListKeys", "", "").status().code(), absl::StatusCode::kUnauthenticated);
  const auto listed = Grpc("/alcove.gateway.v1.KeyService/ListKeys", "", key_);
  ASSERT_TRUE(listed.ok()) << listed.status();
  v1::ListKeysResponse keys;
  ASSERT_TRUE(keys.ParseFromString(*listed));
  EXPECT_EQ(keys.keys_size(), 1);
  EXPECT_EQ(Grpc("/alcove.gateway.v1.KeyService/CreateKey", "\xff", key_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Grpc("/alcove.graph.v1.GraphService/GetGraph", "", key_).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Grpc("/alcove.cache.v1.CacheService/Get", "", key_).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Grpc("/nobody.Service/Method", "", key_).status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(AppTest, AnswersGrpcCallsOfAbsentProcesses) {
  // The first call looks the key up and is relayed; the second goes straight to the proxy.
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = Grpc("/alcove.vector.v1.VectorService/ListCollections", "", key_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("vector-search"));
  }
  EXPECT_EQ(Grpc("/alcove.vector.v1.VectorService/ListCollections", "", "").status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(AppTest, ServesGrpcHealth) {
  const auto check = [&](const std::string& service) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    const auto reply = Grpc("/grpc.health.v1.Health/Check", request.SerializeAsString(), "");
    if (!reply.ok()) return std::string(StatusCodeName(reply.status().code()));
    grpc::health::v1::HealthCheckResponse response;
    EXPECT_TRUE(response.ParseFromString(*reply));
    return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
  };
  EXPECT_EQ(check(""), "SERVING");
  EXPECT_EQ(check("alcove.gateway.v1.DocumentService"), "SERVING");
  EXPECT_EQ(check("alcove.vector.v1.VectorService"), "NOT_SERVING");
  EXPECT_EQ(check("abc"), "NOT_FOUND");
  shared_->draining.store(true);
  EXPECT_EQ(check(""), "NOT_SERVING");
}

TEST_F(AppTest, CountsWhatItAnswers) {
  Get("/health");
  Send("GET", "/v1/keys", "");
  EXPECT_EQ(Get("/metrics").status, 401);
  const Reply metrics = Send("GET", "/metrics", "");
  EXPECT_THAT(metrics.body,
              HasSubstr(R"(alcove_gateway_http_requests_total{route="/health",method="GET",status="200"} 1)"));
}

}  // namespace
}  // namespace alcove::gateway
