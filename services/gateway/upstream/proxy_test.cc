#include <memory>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "libs/common/status.h"
#include "libs/testing/certificates.h"
#include "libs/testing/status_matchers.h"
#include "services/gateway/upstream/grpc_client.h"
#include "services/gateway/upstream/grpc_proxy.h"
#include "services/gateway/upstream/test_backend.h"

namespace alcove::gateway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Record {
  std::string path, endpoint, key;
  absl::StatusCode code;
  uint64_t bytes_in, bytes_out;
  uint32_t attempts;
};

// A gateway with nothing but the proxy.
class ProxyHandler final : public net::Handler {
 public:
  struct Setup {
    std::vector<std::string> backends;
    std::function<void(UpstreamOptions&)> upstream = [](UpstreamOptions&) {};
    std::function<void(GrpcProxyOptions&)> proxy = [](GrpcProxyOptions&) {};
    std::shared_ptr<Identity> identity = std::make_shared<Identity>();
    Registry registry;
    absl::Mutex mu;
    std::vector<Record> records ABSL_GUARDED_BY(mu);
  };
  ProxyHandler(net::Loop& loop, Setup& setup) : upstreams_(loop) {
    UpstreamOptions options;
    options.name = "test";
    options.endpoints = setup.backends;
    options.active_health = false;
    setup.upstream(options);
    UpstreamPool& pool = upstreams_.Add(options);
    GrpcProxyOptions proxy;
    proxy.registry = &setup.registry;
    proxy.reject_unknown = true;
    proxy.route = [&pool](std::string_view path) { return path.substr(0, 5) == "/t.T/" ? &pool : nullptr; };
    proxy.authenticate = [&setup](const net::ServerStream& stream) -> absl::StatusOr<std::shared_ptr<Identity>> {
      if (stream.headers().Get("authorization") != "Bearer good") return absl::UnauthenticatedError("unknown API key");
      return setup.identity;
    };
    proxy.record = [&setup](const GrpcRecord& r) {
      absl::MutexLock lock(&setup.mu);
      setup.records.push_back({std::string(r.path), std::string(r.endpoint), r.identity ? r.identity->key_id : "none",
                               r.code, r.bytes_in, r.bytes_out, r.attempts});
    };
    setup.proxy(proxy);
    proxy_ = std::make_unique<GrpcProxy>(loop, std::move(proxy));
    upstreams_.Start();
  }
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override { exchange->Respond({.status = 404}); }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override { return proxy_->Accept(stream); }

 private:
  UpstreamSet upstreams_;
  std::unique_ptr<GrpcProxy> proxy_;
};

// A loop on a thread of its own, with a client that calls the gateway.
class ClientLoop {
 public:
  explicit ClientLoop(const std::string& target, std::shared_ptr<asio::ssl::context> tls = nullptr)
      : loop_(0), thread_([this] { loop_.Run(); }) {
    OnLoop([&] {
      set_ = std::make_unique<UpstreamSet>(loop_);
      UpstreamOptions options;
      options.name = "gateway";
      options.endpoints = {target};
      options.tls = tls;
      options.active_health = false;
      options.breaker.failures_to_open = 1'000'000;
      options.health.eject_after = 0;
      options.retry.max_attempts = 1;
      set_->Add(options);
      set_->Start();
      client_ = std::make_unique<GrpcClient>(*set_);
    });
  }
  ~ClientLoop() {
    OnLoop([&] {
      set_->Stop();
      client_.reset();
    });
    OnLoop([&] {});
    OnLoop([&] { set_.reset(); });
    OnLoop([&] {});
    loop_.Stop();
    thread_.join();
  }
  void OnLoop(std::function<void()> f) {
    std::promise<void> done;
    loop_.Post([&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <typename T>
  T Run(asio::awaitable<T> awaitable) {
    return asio::co_spawn(loop_.io(), std::move(awaitable), asio::use_future).get();
  }
  absl::StatusOr<std::string> Unary(std::string method, std::string request) {
    return Unary(std::move(method), std::move(request), Key());
  }
  absl::StatusOr<std::string> Unary(std::string method, std::string request, CallOptions options,
                                    RequestContext context = RequestContext()) {
    return Run(
        client_->Unary(std::move(context), "gateway", std::move(method), std::move(request), std::move(options)));
  }
  static CallOptions Key(std::string_view key = "Bearer good") {
    CallOptions options;
    options.metadata.Add("authorization", key);
    return options;
  }
  GrpcClient& client() { return *client_; }
  UpstreamPool& pool() { return *set_->pools()[0]; }
  net::Loop& loop() { return loop_; }

 private:
  net::Loop loop_;
  std::thread thread_;
  std::unique_ptr<UpstreamSet> set_;
  std::unique_ptr<GrpcClient> client_;
};

class ProxyTest : public ::testing::Test {
 protected:
  void Start(int backends = 1) {
    for (int i = 0; i < backends; ++i) {
      logs_.push_back(std::make_unique<BackendLog>());
      backends_.push_back(StartBackend(*logs_.back()));
      setup_.backends.push_back(absl::StrCat("127.0.0.1:", backends_.back()->port()));
    }
    setup_.identity->tenant = "acme";
    setup_.identity->key_id = "k1";
    net::ServerOptions options;
    options.port = 0;
    options.threads = 1;
    auto server =
        net::Server::Start(options, [this](net::Loop& loop) { return std::make_unique<ProxyHandler>(loop, setup_); });
    ASSERT_TRUE(server.ok()) << server.status();
    gateway_ = *std::move(server);
    client_ = std::make_unique<ClientLoop>(absl::StrCat("127.0.0.1:", gateway_->port()));
  }
  void TearDown() override {
    client_.reset();
    gateway_.reset();
    backends_.clear();
  }
  std::vector<Record> Records() {
    absl::MutexLock lock(&setup_.mu);
    return setup_.records;
  }
  std::vector<std::unique_ptr<BackendLog>> logs_;
  std::vector<std::unique_ptr<net::Server>> backends_;
  ProxyHandler::Setup setup_;
  std::unique_ptr<net::Server> gateway_;
  std::unique_ptr<ClientLoop> client_;
};

TEST_F(ProxyTest, ForwardsAUnaryCallAndItsTrailers) {
  Start();
  const auto reply = client_->Unary("/t.T/Echo", "hello");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(*reply, "hello");
  ASSERT_TRUE(Eventually([&] { return Records().size() == 1; }));
  const Record r = Records()[0];
  EXPECT_EQ(r.path, "/t.T/Echo");
  EXPECT_EQ(r.endpoint, setup_.backends[0]);
  EXPECT_EQ(r.key, "k1");
  EXPECT_EQ(r.code, absl::StatusCode::kOk);
  EXPECT_EQ(r.bytes_in, 10u);
  EXPECT_EQ(r.bytes_out, 10u);
  EXPECT_THAT(setup_.registry.Render(),
              HasSubstr("alcove_gateway_grpc_requests_total{service=\"t.T\",method=\"Echo\",code=\"OK\"} 1"));
}

// Health checks, forwarded calls and the gateway's own all go over TLS, both sides proven.
TEST_F(ProxyTest, SpeaksTlsToBackendsItCanTrust) {
  const testing::TempDir folder, strangers;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const testing::Certificate own, testing::MakeCertificate(folder, "b", "127.0.0.1"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const testing::Certificate other, testing::MakeCertificate(strangers, "b", "127.0.0.1"));
  net::ServerOptions tls;
  tls.tls = true;
  tls.tls_options = {own.certificate, own.private_key, own.certificate};
  logs_.push_back(std::make_unique<BackendLog>());
  backends_.push_back(StartBackend(*logs_.back(), 0, tls));
  ASSERT_NE(backends_.back(), nullptr);
  ALCOVE_ASSERT_OK_AND_ASSIGN(auto trusting, net::MakeClientTls({own.certificate, own.certificate, own.private_key}));
  ALCOVE_ASSERT_OK_AND_ASSIGN(auto doubting, net::MakeClientTls({other.certificate, own.certificate, own.private_key}));
  const std::string address = absl::StrCat("127.0.0.1:", backends_.back()->port());
  setup_.backends = {address};
  setup_.upstream = [&](UpstreamOptions& options) {
    options.tls = trusting;
    options.active_health = true;
    options.health.interval = absl::Milliseconds(20);
  };
  Start(0);
  EXPECT_THAT(client_->Unary("/t.T/Echo", "hello"), testing::IsOkAndHolds("hello"));
  EXPECT_TRUE(Eventually([&] { return logs_.back()->health_checks > 1; }));
  ClientLoop direct(address, trusting);
  EXPECT_THAT(direct.Unary("/t.T/Echo", "hello"), testing::IsOkAndHolds("hello"));
  ClientLoop stranger(address, doubting);
  EXPECT_THAT(stranger.Unary("/t.T/Echo", "hello"),
              testing::StatusIs(absl::StatusCode::kUnavailable, HasSubstr("certificate verify failed")));
  ClientLoop cleartext(address);
  EXPECT_THAT(cleartext.Unary("/t.T/Echo", "hello"), testing::StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ProxyTest, ForwardsMessagesLargerThanEveryWindow) {
  Start();
  const std::string large(5 << 20, 'm');
  const auto reply = client_->Unary("/t.T/Echo", large);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(*reply == large);
}

TEST_F(ProxyTest, ForwardsAConversation) {
  Start();
  const auto result = client_->Run([](GrpcClient& client) -> asio::awaitable<std::string> {
    auto opened = co_await client.Open(RequestContext(), "gateway", "/t.T/Echo", ClientLoop::Key());
    if (!opened.ok()) co_return opened.status().ToString();
    std::unique_ptr<GrpcCall> call = *std::move(opened);
    std::string seen;
    for (int i = 0; i < 5; ++i) {
      std::string message = absl::StrCat("m", i, ";");
      const absl::Status written = co_await call->Write(std::move(message));
      if (!written.ok()) co_return written.ToString();
      auto read = co_await call->Read();
      if (!read.ok()) co_return read.status().ToString();
      if (read->has_value()) seen += **read;
    }
    call->WritesDone();
    auto end = co_await call->Read();
    if (!end.ok()) co_return end.status().ToString();
    seen += end->has_value() ? "more" : "end";
    co_return seen + std::string(call->trailers().Get("x-trailer")) +
        (call->headers().Has("x-alcove-secret") ? " leaked" : "");
  }(client_->client()));
  EXPECT_EQ(result, "m0;m1;m2;m3;m4;endkept");
}

TEST_F(ProxyTest, TellsBackendsWhoCallsAndNothingAClientInvents) {
  Start();
  CallOptions options = ClientLoop::Key();
  options.metadata.Add("x-custom", "passes");
  options.metadata.Add("data-bin", "AAEC");
  options.timeout = absl::Seconds(20);
  TraceContext trace = NewTrace(true);
  const RequestContext context({.tenant = "evil", .request_id = "forged", .trace = trace});
  const auto reply = client_->Unary("/t.T/Meta", "", options, context);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(*reply, AllOf(HasSubstr("x-custom=passes\n"), HasSubstr("data-bin=AAEC\n"),
                            HasSubstr("x-alcove-tenant=acme\n"), HasSubstr("te=trailers\n"),
                            HasSubstr(absl::StrCat("traceparent=", FormatTraceparent(trace), "\n"))));
  EXPECT_THAT(*reply, Not(AllOf(HasSubstr("evil"), HasSubstr("forged"))));
  EXPECT_THAT(*reply, Not(HasSubstr("evil")));
  EXPECT_THAT(*reply, Not(HasSubstr("forged")));
  EXPECT_THAT(*reply, Not(HasSubstr("authorization=")));
  EXPECT_THAT(*reply, HasSubstr("grpc-timeout="));
}

TEST_F(ProxyTest, RefusesUnknownKeysMethodsAndTimeouts) {
  Start();
  EXPECT_EQ(client_->Unary("/t.T/Echo", "x", ClientLoop::Key("Bearer bad")).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(client_->Unary("/other.S/M", "x").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(logs_[0]->calls, 0);
}

TEST_F(ProxyTest, LimitsTheRateOfAKeyAndSaysWhenToComeBack) {
  setup_.identity->request_limit = Gcra(1, 2);
  Start();
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok());
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok());
  const absl::Status refused = client_->Unary("/t.T/Echo", "x").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  const ErrorDetails details = GetErrorDetails(refused);
  EXPECT_EQ(details.reason, "RATE_LIMITED");
  ASSERT_TRUE(details.retry_after.has_value());
  EXPECT_GT(*details.retry_after, absl::ZeroDuration());
  EXPECT_LE(*details.retry_after, absl::Seconds(1));
}

TEST_F(ProxyTest, LimitsConcurrentCallsOfAKey) {
  setup_.identity->concurrency = ConcurrencyLimit(1);
  Start();
  CallOptions slow = ClientLoop::Key();
  slow.timeout = absl::Milliseconds(400);
  auto hanging =
      asio::co_spawn(client_->loop().io(), client_->client().Unary(RequestContext(), "gateway", "/t.T/Hang", "x", slow),
                     asio::use_future);
  ASSERT_TRUE(Eventually([&] { return logs_[0]->calls == 1; }));
  EXPECT_EQ(client_->Unary("/t.T/Echo", "x").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(hanging.get().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return client_->Unary("/t.T/Echo", "x").ok(); })) << "the slot came back";
}

TEST_F(ProxyTest, PassesErrorsWithTheirDetails) {
  Start();
  const absl::Status status = client_->Unary("/t.T/Fail", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "bad: 100% wrong");
  EXPECT_EQ(client_->Unary("/t.T/Http404", "x").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(client_->Unary("/t.T/Nothing", "x").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(client_->Unary("/t.T/Twice", "x").status().code(), absl::StatusCode::kInternal);
}

TEST_F(ProxyTest, AResetInTheMiddleOfAResponseIsAnErrorNotAnEnd) {
  Start();
  const absl::Status status = client_->Unary("/t.T/Cut", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(net::StdView(status.message())), HasSubstr("reset the stream"));
}

TEST_F(ProxyTest, TheDeadlineHoldsAtTheGatewayAndReachesTheBackend) {
  Start();
  setup_.identity->concurrency = ConcurrencyLimit(0);
  CallOptions options = ClientLoop::Key();
  options.timeout = absl::Milliseconds(80);
  const absl::Status status = client_->Unary("/t.T/Hang", "x", options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return logs_[0]->closed_early == 1; }));
  ASSERT_TRUE(Eventually([&] { return Records().size() == 1; }));
}

TEST_F(ProxyTest, CancellingReachesTheBackendWithinTenMilliseconds) {
  Start();
  CancellationSource source;
  const RequestContext context = RequestContext().WithCancellation(source.token());
  auto hanging = asio::co_spawn(client_->loop().io(),
                                client_->client().Unary(context, "gateway", "/t.T/Hang", "x", ClientLoop::Key()),
                                asio::use_future);
  ASSERT_TRUE(Eventually([&] { return logs_[0]->calls == 1; }));
  const int64_t began = net::Loop::NowNs();
  source.Cancel();
  ASSERT_TRUE(Eventually([&] { return logs_[0]->closed_early == 1; }));
  RecordProperty("cancel_us", static_cast<int>((net::Loop::NowNs() - began) / 1000));
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  // Generous for a loaded machine; the way itself takes well under a millisecond.
  EXPECT_LT(net::Loop::NowNs() - began, 100'000'000);
#endif
  EXPECT_EQ(hanging.get().status().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(Eventually([&] { return Records().size() == 1; }));
  EXPECT_EQ(Records()[0].code, absl::StatusCode::kCancelled);
}

TEST_F(ProxyTest, ASlowClientHoldsTheBackendBack) {
  Start();
  const auto total = client_->Run([](GrpcClient& client, BackendLog& log) -> asio::awaitable<int64_t> {
    auto opened = co_await client.Open(RequestContext(), "gateway", "/t.T/Flood", ClientLoop::Key());
    if (!opened.ok()) co_return -1;
    std::unique_ptr<GrpcCall> call = *std::move(opened);
    call->WritesDone();
    auto first = co_await call->Read();
    if (!first.ok()) co_return -2;
    // Reads nothing more: everything on the way must come to rest.
    int64_t last = -1;
    for (int i = 0; i < 200; ++i) {
      asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(50));
      co_await timer.async_wait(asio::use_awaitable);
      if (log.sent == last) break;
      last = log.sent;
    }
    co_return last;
  }(client_->client(), *logs_[0]));
  EXPECT_GT(total, 0);
  EXPECT_LT(total, 8 << 20) << "windows and buffers on the way add up to about 3 MiB";
  EXPECT_TRUE(Eventually([&] { return logs_[0]->closed_early == 1; })) << "dropping the call resets it";
}

TEST_F(ProxyTest, ARefusedStreamGoesToAnotherBackend) {
  Start(2);
  // Both refuse: three attempts, then UNAVAILABLE.
  const absl::Status status = client_->Unary("/t.T/Refuse", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(Eventually([&] { return Records().size() == 1; }));
  EXPECT_EQ(Records()[0].attempts, 3u);
  EXPECT_GE(logs_[0]->calls, 1);
  EXPECT_GE(logs_[1]->calls, 1);
}

TEST_F(ProxyTest, RepeatsUnavailableOnlyWhenIdempotent) {
  setup_.proxy = [](GrpcProxyOptions& o) {
    o.idempotent = [](std::string_view path) { return path == "/t.T/Unavailable"; };
  };
  Start(2);
  const absl::Status status = client_->Unary("/t.T/Unavailable", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "busy");
  ASSERT_TRUE(Eventually([&] { return Records().size() == 1; }));
  EXPECT_EQ(Records()[0].attempts, 3u);
  EXPECT_EQ(client_->Unary("/t.T/Fail", "x").status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Eventually([&] { return Records().size() == 2; }));
  EXPECT_EQ(Records()[1].attempts, 1u);
}

TEST_F(ProxyTest, ADeadBackendIsAvoidedAndNamed) {
  setup_.proxy = [](GrpcProxyOptions& o) { o.idempotent = [](std::string_view) { return true; }; };
  Start(2);
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok());
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok());
  backends_[0].reset();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok()) << i;
  backends_[1].reset();
  absl::Status status;
  ASSERT_TRUE(Eventually([&] {
    status = client_->Unary("/t.T/Echo", "x").status();
    return absl::StrContains(status.message(), setup_.backends[1]);
  })) << status;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(ProxyTest, FindsABackendThatComesBack) {
  Start();
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok());
  const uint16_t port = backends_[0]->port();
  backends_[0].reset();
  ASSERT_TRUE(Eventually([&] { return !client_->Unary("/t.T/Echo", "x").ok(); }));
  backends_[0] = StartBackend(*logs_[0], port);
  ASSERT_NE(backends_[0], nullptr);
  EXPECT_TRUE(Eventually([&] { return client_->Unary("/t.T/Echo", "x").ok(); }));
}

TEST_F(ProxyTest, DrainingABackendLosesNoCall) {
  Start(2);
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0}, done{0};
  std::thread load([&] {
    while (!stop) {
      ++done;
      if (!client_->Unary("/t.T/Echo", "x").ok()) ++failed;
    }
  });
  ASSERT_TRUE(Eventually([&] { return done > 50; }));
  EXPECT_TRUE(backends_[0]->Drain(absl::Seconds(5)).ok());
  const int after = done;
  ASSERT_TRUE(Eventually([&] { return done > after + 50; }));
  stop = true;
  load.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(ProxyTest, ANewEndpointListTakesOverWhileOldCallsFinish) {
  Start(2);
  CallOptions options = ClientLoop::Key();
  options.timeout = absl::Milliseconds(300);
  auto old =
      asio::co_spawn(client_->loop().io(),
                     client_->client().Unary(RequestContext(), "gateway", "/t.T/Hang", "x", options), asio::use_future);
  ASSERT_TRUE(Eventually([&] { return logs_[0]->calls + logs_[1]->calls == 1; }));
  client_->OnLoop([&] { client_->pool().SetEndpoints({setup_.backends[1]}); });
  const int before = logs_[1]->calls;
  EXPECT_TRUE(client_->Unary("/t.T/Echo", "x").ok()) << "straight to the second backend";
  EXPECT_EQ(logs_[1]->calls, before + 1);
  EXPECT_EQ(old.get().status().code(), absl::StatusCode::kDeadlineExceeded) << "not cut off";
  client_->OnLoop([&] {
    const std::vector<EndpointStatus> status = client_->pool().Status();
    ASSERT_EQ(status.size(), 1u);
    EXPECT_EQ(status[0].address, setup_.backends[1]);
    EXPECT_TRUE(status[0].connected);
    EXPECT_TRUE(client_->pool().Ready());
  });
}

TEST_F(ProxyTest, AnOverloadedPoolSaysSo) {  // LB11
  setup_.upstream = [](UpstreamOptions& o) { o.max_in_flight_per_endpoint = 1; };
  Start(2);
  CallOptions options = ClientLoop::Key();
  options.timeout = absl::Milliseconds(400);
  std::vector<std::future<absl::StatusOr<std::string>>> hanging;
  for (int i = 0; i < 2; ++i) {
    hanging.push_back(asio::co_spawn(client_->loop().io(),
                                     client_->client().Unary(RequestContext(), "gateway", "/t.T/Hang", "x", options),
                                     asio::use_future));
  }
  ASSERT_TRUE(Eventually([&] { return logs_[0]->calls + logs_[1]->calls == 2; }));
  const absl::Status status = client_->Unary("/t.T/Echo", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(net::StdView(status.message())), HasSubstr("test is overloaded"));
  for (auto& h : hanging) EXPECT_FALSE(h.get().ok());
}

TEST_F(ProxyTest, UnhealthyBackendsAreTakenOutAndBroughtBack) {  // LB5, LB6
  setup_.upstream = [](UpstreamOptions& o) {
    o.active_health = true;
    o.health.interval = absl::Milliseconds(20);
  };
  Start(2);
  ASSERT_TRUE(Eventually([&] { return logs_[0]->health_checks > 1 && logs_[1]->health_checks > 1; }));
  logs_[0]->serving = false;
  ASSERT_TRUE(Eventually([&] {
    const int before = logs_[0]->calls;
    for (int i = 0; i < 6; ++i) client_->Unary("/t.T/Echo", "x").IgnoreError();
    return logs_[0]->calls == before;
  }));
  logs_[0]->serving = true;
  EXPECT_TRUE(Eventually([&] {
    const int before = logs_[0]->calls;
    for (int i = 0; i < 6; ++i) client_->Unary("/t.T/Echo", "x").IgnoreError();
    return logs_[0]->calls > before;
  }));
}

}  // namespace
}  // namespace alcove::gateway
