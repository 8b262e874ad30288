#include "libs/rpc/service_main.h"

#include <csignal>
#include <thread>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "alcove/cache/v1/cache.grpc.pb.h"
#include "libs/common/net_address.h"
#include "libs/rpc/channel.h"
#include "libs/testing/child_process.h"
#include "libs/testing/paths.h"
#include "libs/testing/status_matchers.h"

namespace alcove::rpc {
namespace {

using ::alcove::testing::ChildProcess;
using ::alcove::testing::HttpGet;
using ::alcove::testing::IsOkAndHolds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

absl::StatusOr<std::unique_ptr<ChildProcess>> StartSample(std::vector<std::string> args = {}) {
  return ChildProcess::Start({testing::BuildDir() + "/tests/rpc_sample_service", std::move(args), {}, "", {}, {}});
}

// The host:port behind "key=" in a log line.
std::string AddressIn(const std::string& line, const std::string& key) {
  const size_t begin = line.find(key + "=") + key.size() + 1;
  return line.substr(begin, line.find(' ', begin) - begin);
}

TEST(ServiceMain, ServesAndAnswersOnItsAdminAddress) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, StartSample());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, child->WaitForLine("listening"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const HostPort admin, ParseHostPort(AddressIn(line, "admin")));
  EXPECT_THAT(HttpGet(admin.port, "/health/live"), IsOkAndHolds(Pair(200, "live\n")));
  EXPECT_THAT(HttpGet(admin.port, "/health/ready"), IsOkAndHolds(Pair(200, "ready\n")));
  EXPECT_THAT(HttpGet(admin.port, "/debug/config"), IsOkAndHolds(Pair(200, HasSubstr("listen: 127.0.0.1:0"))));
  EXPECT_THAT(HttpGet(admin.port, "/debug/sample?a=b"), IsOkAndHolds(Pair(200, "query a=b")));

  {
    // The channel goes before the server stops: this process does not look after an idle one.
    ALCOVE_ASSERT_OK_AND_ASSIGN(const auto channel, MakeChannel(AddressIn(line, "address")));
    const auto stub = cache::v1::CacheService::NewStub(channel);
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    cache::v1::GetResponse response;
    const grpc::Status status = stub->Get(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.value(), "done");
  }
  EXPECT_THAT(
      HttpGet(admin.port, "/metrics"),
      IsOkAndHolds(Pair(200, HasSubstr("alcove_rpc_server_requests_total{service=\"alcove.cache.v1.CacheService\","
                                       "method=\"Get\",code=\"OK\"} 1"))));
  EXPECT_THAT(HttpGet(admin.port, "/metrics"), IsOkAndHolds(Pair(200, HasSubstr("alcove_build_info{"))));
  EXPECT_THAT(child->Stop(), IsOkAndHolds(0));
}

TEST(ServiceMain, LetsACallInFlightEndWhenToldToStop) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, StartSample());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, child->WaitForLine("listening"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto channel, MakeChannel(AddressIn(line, "address")));
  const auto stub = cache::v1::CacheService::NewStub(channel);
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    cache::v1::GetRequest request;
    request.mutable_wait()->set_nanos(300'000'000);
    cache::v1::GetResponse response;
    status = stub->Get(&context, request, &response);
  });
  ALCOVE_EXPECT_OK(child->WaitForLine("working"));
  // The channel watches the server's health all the while, which must not hold the drain up.
  EXPECT_THAT(child->Stop(absl::Seconds(10)), IsOkAndHolds(0));
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(child->Output(), HasSubstr("flushed"));
  EXPECT_THAT(child->Output(), Not(HasSubstr("drain ended early")));
}

TEST(ServiceMain, CancelsWhatOutlastsTheDrain) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, StartSample({"--server.drain_timeout=50ms"}));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, child->WaitForLine("listening"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto channel, MakeChannel(AddressIn(line, "address"), {.retry = false}));
  const auto stub = cache::v1::CacheService::NewStub(channel);
  grpc::Status status;
  std::thread caller([&] {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    cache::v1::GetRequest request;
    request.mutable_wait()->set_nanos(999'000'000);
    cache::v1::GetResponse response;
    status = stub->Get(&context, request, &response);
  });
  ALCOVE_EXPECT_OK(child->WaitForLine("working"));
  EXPECT_THAT(child->Stop(absl::Seconds(10)), IsOkAndHolds(0));
  caller.join();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(child->Output(), HasSubstr("drain ended early"));
}

TEST(ServiceMain, NamesTheAddressWhenAPortIsTaken) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto first, StartSample());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, first->WaitForLine("listening"));
  const std::string taken = AddressIn(line, "address");
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto second, StartSample({"--server.listen", taken}));
  EXPECT_THAT(second->WaitForExit(), IsOkAndHolds(1));
  EXPECT_THAT(second->Output(), HasSubstr(absl::StrCat("cannot listen on ", taken, ": Address already in use")));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto third, StartSample({"--server.admin_listen", AddressIn(line, "admin")}));
  EXPECT_THAT(third->WaitForExit(), IsOkAndHolds(1));
  EXPECT_THAT(third->Output(), HasSubstr("Address already in use"));
}

TEST(ServiceMain, ExitsWithTwoForAWrongConfiguration) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, StartSample({"--server.lisen=x"}));
  EXPECT_THAT(child->WaitForExit(), IsOkAndHolds(2));
  EXPECT_THAT(child->Output(), HasSubstr("did you mean \"server.listen\"?"));
}

TEST(ServiceMain, ExitsAtOnceOnASecondSignal) {
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto child, StartSample());
  ALCOVE_ASSERT_OK_AND_ASSIGN(const std::string line, child->WaitForLine("listening"));
  ALCOVE_ASSERT_OK_AND_ASSIGN(const auto channel, MakeChannel(AddressIn(line, "address"), {.retry = false}));
  const auto stub = cache::v1::CacheService::NewStub(channel);
  std::thread caller([&] {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    cache::v1::GetRequest request;
    request.mutable_wait()->set_nanos(999'000'000);
    cache::v1::GetResponse response;
    (void)stub->Get(&context, request, &response);
  });
  ALCOVE_EXPECT_OK(child->WaitForLine("working"));
  child->Signal(SIGINT);
  ALCOVE_EXPECT_OK(child->WaitForLine("draining"));
  child->Signal(SIGTERM);
  EXPECT_THAT(child->WaitForExit(), IsOkAndHolds(128 + SIGTERM));
  EXPECT_THAT(child->Output(), HasSubstr("second signal"));
  caller.join();
}

}  // namespace
}  // namespace alcove::rpc
