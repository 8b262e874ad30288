#include "services/gateway/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/common/config.h"
#include "libs/testing/certificates.h"
#include "libs/testing/status_matchers.h"

namespace alcove::gateway {
namespace {

using alcove::config::v1::GatewayConfig;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Error(const std::string& yaml) {
  auto config = DefaultConfig<GatewayConfig>();
  absl::Status status = MergeConfigYaml(yaml, "test", config);
  if (status.ok()) status = ReadOptions(config, "1").status();
  return std::string(status.message());
}

TEST(GatewayConfig, TheDefaultsServeOnLoopbackWithKeys) {
  const auto options = ReadOptions(DefaultConfig<GatewayConfig>(), "1.2");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.address, "127.0.0.1");
  EXPECT_EQ(options->server.port, 8080);
  EXPECT_TRUE(options->app.use_keys);
  EXPECT_EQ(options->app.times.usual, absl::Seconds(30));
  EXPECT_EQ(options->app.max_body_bytes, 64u << 20);
  EXPECT_EQ(options->app.upstreams.size(), 4u);
  EXPECT_EQ(options->keys.rate_per_second, 10'000);
  EXPECT_TRUE(options->app.open_metrics);
}

TEST(GatewayConfig, KeysCanBeOffOnLoopbackOnly) {
  EXPECT_EQ(Error("auth: {mode: none}"), "");
  EXPECT_THAT(Error("auth: {mode: none}\nhttp: {address: 0.0.0.0}"), HasSubstr("only on loopback"));
  EXPECT_EQ(Error("http: {address: 0.0.0.0}"), "");
}

TEST(GatewayConfig, RefusesWhatCannotWork) {
  EXPECT_THAT(Error("http: {address: somewhere}"), HasSubstr("http.address"));
  EXPECT_THAT(Error("http: {prot: 1}"), HasSubstr("prot"));
  EXPECT_THAT(Error("auth: {admin_key: short}"), HasSubstr("24"));
  EXPECT_THAT(Error("http: {tls: {certificate: a.pem}}"), HasSubstr("belong together"));
  EXPECT_THAT(Error("upstreams: {cache: [nonsense]}"), HasSubstr("upstreams.cache"));
}

TEST(GatewayConfig, ReadsTheFilesOfTlsTowardsTheProcesses) {
  EXPECT_THAT(Error("upstreams: {tls: {certificate: a.pem}}"), HasSubstr("upstreams.tls: certificate and private_key"));
  EXPECT_THAT(Error("upstreams: {tls: {client_ca: /nonexistent.pem}}"),
              AllOf(HasSubstr("upstreams.tls"), HasSubstr("/nonexistent.pem")));
  const testing::TempDir folder;
  ALCOVE_ASSERT_OK_AND_ASSIGN(const testing::Certificate made, testing::MakeCertificate(folder, "g", "127.0.0.1"));
  auto config = DefaultConfig<GatewayConfig>();
  config.mutable_upstreams()->mutable_tls()->set_client_ca(made.certificate);
  const auto options = ReadOptions(config, "1");
  ASSERT_TRUE(options.ok()) << options.status();
  for (const UpstreamOptions& upstream : options->app.upstreams) EXPECT_NE(upstream.tls, nullptr);
  EXPECT_NE(options->app.upstream_tls, nullptr);
}

TEST(GatewayConfig, AnEmptyListSwitchesAProcessOff) {
  auto config = DefaultConfig<GatewayConfig>();
  ASSERT_TRUE(MergeConfigYaml("upstreams: {cache: [], fhe_proxy: []}", "test", config).ok());
  EXPECT_EQ(ReadOptions(config, "1")->app.upstreams.size(), 2u);
}

}  // namespace
}  // namespace alcove::gateway
