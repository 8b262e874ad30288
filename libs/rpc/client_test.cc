#include "libs/rpc/client.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/status.h"
#include "libs/net/grpc_wire.h"
#include "libs/net/server.h"
#include "libs/net/server_stream.h"
#include "libs/rpc/face_for_test.h"
#include "libs/rpc/server.h"
#include "libs/testing/child_process.h"
#include "libs/testing/status_matchers.h"

namespace alcove::rpc {
namespace {

using ::alcove::testing::IsOk;
using ::alcove::testing::StatusIs;
using ::testing::HasSubstr;

constexpr std::string_view kGet = "/alcove.cache.v1.CacheService/Get";
constexpr std::string_view kDelete = "/alcove.cache.v1.CacheService/Delete";

RequestContext Within(absl::Duration timeout) {
  return RequestContext({.tenant = "acme", .request_id = "r"}, absl::Now() + timeout);
}

// An answer that somebody waits for.
class Answer {
 public:
  Client::Done Take() {
    return [this](absl::StatusOr<std::string_view> reply) {
      if (reply.ok()) {
        cache::GetResponse response;
        EXPECT_TRUE(response.ParseFromArray(reply->data(), static_cast<int>(reply->size())));
        value_ = response.value();
      } else {
        value_ = reply.status();
      }
      thread_ = std::this_thread::get_id();
      ready_.Notify();
    };
  }
  absl::StatusOr<std::string> Wait() {
    ready_.WaitForNotification();
    return value_;
  }
  bool ready() const { return ready_.HasBeenNotified(); }
  std::thread::id thread() const { return thread_; }

 private:
  absl::StatusOr<std::string> value_ = absl::UnknownError("no answer");
  std::thread::id thread_;
  absl::Notification ready_;
};

class RpcClient : public ::testing::Test {
 protected:
  void SetUp() override {
    face_.on_get = [](const RequestContext& ctx, cache::GetResponse& response) {
      response.set_value(ctx.tenant());
      return absl::OkStatus();
    };
    StartServer("127.0.0.1:0");
    MakeClient({});
  }
  void TearDown() override {
    client_ = nullptr;  // before the loops
    server_ = nullptr;
  }
  void StartServer(const std::string& listen) {
    ALCOVE_ASSERT_OK_AND_ASSIGN(server_, Server::Start({.listen = listen, .loops = &loops_}, {&face_}));
    server_->SetServing(true);
  }
  void MakeClient(ClientOptions options) {
    ALCOVE_ASSERT_OK_AND_ASSIGN(client_, Client::Make(loops_, server_->address(), std::move(options)));
  }
  absl::StatusOr<std::string> Get(const RequestContext& ctx, Client::CallOptions options = {}) {
    Answer answer;
    client_->Call(ctx, kGet, cache::GetRequest(), answer.Take(), options);
    return answer.Wait();
  }

  Registry registry_;
  Face face_{registry_};
  net::LoopThreads loops_{2};
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(RpcClient, CarriesTheContextAndBringsTheAnswer) {
  RequestContext seen;
  face_.on_get = [&](const RequestContext& ctx, cache::GetResponse& response) {
    seen = ctx;
    response.set_value("v");
    return absl::OkStatus();
  };
  const RequestContext sent = FullContext();
  EXPECT_THAT(Get(sent), testing::IsOkAndHolds("v"));
  ExpectCarried(sent, seen);
}

TEST_F(RpcClient, AnswersOnTheLoopThatAsked) {
  for (size_t i = 0; i < loops_.size(); ++i) {
    Answer answer;
    std::thread::id loop_thread;
    absl::Notification asked;
    loops_[i].Post([&] {
      loop_thread = std::this_thread::get_id();
      client_->Call(Within(absl::Seconds(10)), kGet, cache::GetRequest(), answer.Take());
      EXPECT_FALSE(answer.ready());
      asked.Notify();
    });
    EXPECT_THAT(answer.Wait(), testing::IsOkAndHolds("acme"));
    asked.WaitForNotification();
    EXPECT_EQ(answer.thread(), loop_thread);
  }
}

// A handler that asks and then goes on computing must not keep its question back.
TEST_F(RpcClient, AsksAtOnceFromALoopThatIsBusyAfterwards) {
  net::LoopThreads other(1);
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto client, Client::Make(other, server_->address()));
  Answer first;
  client->Call(Within(absl::Seconds(10)), kGet, cache::GetRequest(), first.Take());
  ALCOVE_ASSERT_OK(first.Wait());
  absl::Notification arrived;
  face_.on_get = [&](const RequestContext&, cache::GetResponse&) {
    arrived.Notify();
    return absl::OkStatus();
  };
  Answer second;
  bool while_busy = false;
  other[0].Post([&] {
    client->Call(Within(absl::Seconds(30)), kGet, cache::GetRequest(), second.Take());
    while_busy = arrived.WaitForNotificationWithTimeout(absl::Seconds(20));
  });
  ALCOVE_ASSERT_OK(second.Wait());
  EXPECT_TRUE(while_busy);
}

TEST_F(RpcClient, BringsStatusesWithTheirDetails) {
  face_.on_get = [](const RequestContext&, cache::GetResponse&) { return NotFound("entry", "k"); };
  const auto missing = Get(Within(absl::Seconds(10)));
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kNotFound, HasSubstr("entry \"k\" not found")));
  EXPECT_EQ(GetErrorDetails(missing.status()).resource->name, "k");
  Answer unknown;
  client_->Call(Within(absl::Seconds(10)), "/alcove.cache.v1.CacheService/Nope", cache::GetRequest(), unknown.Take());
  EXPECT_THAT(unknown.Wait(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(RpcClient, BringsALongAnswerAndRefusesOneThatIsTooLong) {
  const std::string value(5'000'000, 'x');
  face_.on_get = [&](const RequestContext&, cache::GetResponse& response) {
    response.set_value(value);
    return absl::OkStatus();
  };
  EXPECT_THAT(Get(Within(absl::Seconds(30))), testing::IsOkAndHolds(value));
  MakeClient({.max_message_bytes = 1'000'000});
  EXPECT_THAT(Get(Within(absl::Seconds(30))), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(RpcClient, EndsAtTheDeadlineAndTellsTheServer) {
  absl::Notification cancelled;
  std::optional<Finish> kept;
  CancellationRegistration registration;
  face_.on_delete = [&](const RequestContext& ctx, Finish finish) {
    kept.emplace(std::move(finish));
    registration = ctx.cancellation().OnCancel([&] { cancelled.Notify(); });
  };
  Answer answer;
  const absl::Time began = absl::Now();
  client_->Call(Within(absl::Milliseconds(200)), kDelete, cache::DeleteRequest(), answer.Take());
  EXPECT_THAT(answer.Wait(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(20)));
  (*kept)(absl::OkStatus());
  EXPECT_THAT(Get(Within(-absl::Seconds(1))), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(RpcClient, EndsWhenItIsCalledOff) {
  absl::Notification begun, cancelled;
  std::optional<Finish> kept;
  CancellationRegistration registration;
  face_.on_delete = [&](const RequestContext& ctx, Finish finish) {
    kept.emplace(std::move(finish));
    registration = ctx.cancellation().OnCancel([&] { cancelled.Notify(); });
    begun.Notify();
  };
  CancellationSource source;
  Answer answer;
  client_->Call(Within(absl::Seconds(60)).WithCancellation(source.token()), kDelete, cache::DeleteRequest(),
                answer.Take());
  begun.WaitForNotification();
  source.Cancel(absl::CancelledError("nobody wants it"));
  EXPECT_THAT(answer.Wait(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("nobody wants it")));
  EXPECT_TRUE(cancelled.WaitForNotificationWithTimeout(absl::Seconds(20)));
  (*kept)(absl::OkStatus());
  // What is called off before it begins is not sent.
  EXPECT_THAT(Get(Within(absl::Seconds(60)).WithCancellation(source.token())), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RpcClient, FailsAtOnceWhileTheServerIsAway) {
  const std::string address = server_->address();
  ALCOVE_ASSERT_OK(Get(Within(absl::Seconds(10))));
  server_ = nullptr;
  for (int i = 0; i < 3; ++i) {
    const absl::Time began = absl::Now();
    EXPECT_THAT(Get(Within(absl::Seconds(60))), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
    EXPECT_LT(absl::Now() - began, absl::Seconds(20));
  }
}

TEST_F(RpcClient, FindsAServerThatIsBack) {
  const std::string address = server_->address();
  ALCOVE_ASSERT_OK(Get(Within(absl::Seconds(10))));
  server_ = nullptr;
  EXPECT_THAT(Get(Within(absl::Seconds(60))), StatusIs(absl::StatusCode::kUnavailable));
  StartServer(address);
  client_->Reconnect();
  EXPECT_THAT(Get(Within(absl::Seconds(60)), {.wait_for_ready = true}), testing::IsOkAndHolds("acme"));
  EXPECT_THAT(Get(Within(absl::Seconds(60))), testing::IsOkAndHolds("acme"));
}

TEST_F(RpcClient, WaitsForAServerWhenAskedTo) {
  const std::string address = absl::StrCat("127.0.0.1:", testing::FreePort());
  ALCOVE_ASSERT_OK_AND_ASSIGN(client_, Client::Make(loops_, address));
  EXPECT_THAT(Get(Within(absl::Milliseconds(300)), {.wait_for_ready = true}),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  Answer answer;
  client_->Call(Within(absl::Seconds(60)), kGet, cache::GetRequest(), answer.Take(), {.wait_for_ready = true});
  absl::SleepFor(absl::Milliseconds(150));
  EXPECT_FALSE(answer.ready());
  server_ = nullptr;
  StartServer(address);
  EXPECT_THAT(answer.Wait(), testing::IsOkAndHolds("acme"));
}

// A server that drains takes no new calls on its connections; those go to the one that took its place.
TEST_F(RpcClient, LeavesAConnectionThatDrains) {
  const std::string address = server_->address();
  ALCOVE_ASSERT_OK(Get(Within(absl::Seconds(10))));
  absl::Notification begun;
  std::optional<Finish> kept;
  face_.on_delete = [&](const RequestContext&, Finish finish) {
    kept.emplace(std::move(finish));
    begun.Notify();
  };
  Answer slow;
  client_->Call(Within(absl::Seconds(60)), kDelete, cache::DeleteRequest(), slow.Take());
  begun.WaitForNotification();
  std::unique_ptr<Server> old = std::move(server_);
  std::thread drain([&] { EXPECT_THAT(old->Drain(absl::Now() + absl::Seconds(30)), IsOk()); });
  // Until the port is free again.
  absl::StatusOr<std::unique_ptr<Server>> next = absl::UnknownError("");
  for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end && !next.ok();) {
    next = Server::Start({.listen = address, .loops = &loops_}, {&face_});
  }
  ASSERT_THAT(next, IsOk());
  server_ = *std::move(next);
  server_->SetServing(true);
  client_->Reconnect();
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(Get(Within(absl::Seconds(60)), {.wait_for_ready = true}), testing::IsOkAndHolds("acme"));
  }
  EXPECT_FALSE(slow.ready());
  (*kept)(absl::OkStatus());
  ALCOVE_EXPECT_OK(slow.Wait());
  drain.join();
}

// Resets each stream as not processed while `refusals` last, then answers with an empty message.
class Refuser final : public net::Handler {
 public:
  explicit Refuser(std::atomic<int>& refusals) : refusals_(refusals) {}
  void OnExchange(std::shared_ptr<net::Exchange> exchange) override { exchange->Respond({.status = 404}); }
  net::StreamHandler* OnGrpcStream(net::ServerStream& stream) override { return new Stream(stream, refusals_); }

 private:
  class Stream final : public net::StreamHandler {
   public:
    Stream(net::ServerStream& stream, std::atomic<int>& refusals) : stream_(stream) {
      if (refusals.fetch_sub(1) > 0) stream_.Reset(kRefusedStream);
    }
    void OnData(std::string_view bytes) override { stream_.Consume(bytes.size()); }
    void OnEnd() override {
      net::HeaderList head, trailers;
      head.AddLower("content-type", "application/grpc");
      stream_.SendHeaders(200, head, false);
      std::string message;
      net::AppendGrpcMessage("", message);
      stream_.SendData(message);
      net::AppendGrpcTrailers(absl::OkStatus(), trailers);
      stream_.SendEnd(&trailers);
    }
    void OnDrained() override {}
    void OnClose(uint32_t) override { delete this; }

   private:
    static constexpr uint32_t kRefusedStream = 7;  // RFC 9113, 7
    net::ServerStream& stream_;
  };
  std::atomic<int>& refusals_;
};

TEST_F(RpcClient, TriesOnceMoreWhatCertainlyReachedNothing) {
  std::atomic<int> refusals = 1;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto server, net::Server::Start({.port = 0, .loops = &loops_}, [&](net::Loop&) {
                                return std::make_unique<Refuser>(refusals);
                              }));
  ALCOVE_ASSERT_OK_AND_ASSIGN(client_, Client::Make(loops_, absl::StrCat("127.0.0.1:", server->port())));
  EXPECT_THAT(Get(Within(absl::Seconds(20))), testing::IsOkAndHolds(""));
  EXPECT_EQ(refusals, -1) << "two streams";
  refusals = 2;
  EXPECT_THAT(Get(Within(absl::Seconds(20))), StatusIs(absl::StatusCode::kUnavailable));
  client_ = nullptr;
}

TEST_F(RpcClient, EndsItsCallsWhenItCloses) {
  absl::Notification begun;
  std::optional<Finish> kept;
  face_.on_delete = [&](const RequestContext&, Finish finish) {
    kept.emplace(std::move(finish));
    begun.Notify();
  };
  Answer answer;
  client_->Call(Within(absl::Seconds(60)), kDelete, cache::DeleteRequest(), answer.Take());
  begun.WaitForNotification();
  client_->Close();
  EXPECT_TRUE(answer.ready());
  EXPECT_THAT(answer.Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(Get(Within(absl::Seconds(60))), StatusIs(absl::StatusCode::kCancelled));
  (*kept)(absl::OkStatus());
}

TEST_F(RpcClient, ServesManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        CancellationSource source;
        Answer answer;
        client_->Call(Within(absl::Seconds(60)).WithCancellation(source.token()), kGet, cache::GetRequest(),
                      answer.Take());
        if (i % 5 == 0) source.Cancel();
        const auto value = answer.Wait();
        if (value.ok() || absl::IsCancelled(value.status())) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

TEST_F(RpcClient, RefusesAnAddressThatIsNone) {
  EXPECT_THAT(Client::Make(loops_, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Client::Make(loops_, "host"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Client::Make(loops_, "h:1", {.tls = {"cert.pem", "", ""}}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RpcClient, SpeaksTlsToThoseItTrustsOnly) {
  const testing::TempDir folder, strangers;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const TlsFiles files, MakeTlsFiles(folder, "localhost", "127.0.0.1"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const TlsFiles stranger, MakeTlsFiles(strangers, "localhost", "127.0.0.1"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(server_, Server::Start({.loops = &loops_, .tls = files}, {&face_}));
  const std::string port = absl::StrCat(":", server_->port());
  const auto call = [&](const std::string& host, const TlsFiles& client_files) {
    auto client = Client::Make(loops_, host + port, {.tls = client_files});
    EXPECT_THAT(client, IsOk());
    Answer answer;
    (*client)->Call(Within(absl::Seconds(30)), kGet, cache::GetRequest(), answer.Take());
    return answer.Wait();
  };
  EXPECT_THAT(call("127.0.0.1", files), testing::IsOkAndHolds("acme"));
  EXPECT_THAT(call("localhost", files), testing::IsOkAndHolds("acme"));
  EXPECT_THAT(call("127.0.0.1", {"", "", files.ca}), StatusIs(absl::StatusCode::kUnavailable)) << "no certificate";
  EXPECT_THAT(call("127.0.0.1", {files.certificate, files.private_key, stranger.ca}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("certificate verify failed")));
  EXPECT_THAT(call("127.0.0.1", {}), StatusIs(absl::StatusCode::kUnavailable)) << "cleartext";
  // The certificate is of another name.
  const testing::TempDir elsewhere;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const TlsFiles named, MakeTlsFiles(elsewhere, "elsewhere", "10.0.0.1"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto other, Server::Start({.loops = &loops_, .tls = named}, {&face_}));
  for (const char* host : {"127.0.0.1:", "localhost:"}) {
    ALCOVE_ASSERT_OK_AND_ASSIGN(const auto client,
                                Client::Make(loops_, absl::StrCat(host, other->port()), {.tls = named}));
    Answer answer;
    client->Call(Within(absl::Seconds(30)), kGet, cache::GetRequest(), answer.Take());
    EXPECT_THAT(answer.Wait(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("certificate verify failed")));
  }
}

}  // namespace
}  // namespace alcove::rpc
