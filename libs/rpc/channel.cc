#include "libs/rpc/channel.h"

#include <algorithm>
#include <limits>

#include <absl/strings/str_cat.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "libs/common/status.h"

namespace alcove::rpc {
namespace {

// https://github.com/grpc/grpc/blob/master/doc/service_config.md
std::string ServiceConfig(const ChannelOptions& options) {
  std::string json = R"({"loadBalancingConfig":[{"round_robin":{}}])";
  if (options.retry) {
    absl::StrAppend(&json, R"(,"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.05s",)",
                    R"("maxBackoff":"1s","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}],)",
                    R"("retryThrottling":{"maxTokens":10,"tokenRatio":0.1})");
  }
  if (options.health_check) absl::StrAppend(&json, R"(,"healthCheckConfig":{"serviceName":""})");
  return json + "}";
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& target, const ChannelOptions& options) {
  if (target.empty()) return absl::InvalidArgumentError("a channel needs an address");
  ALCOVE_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                          MakeChannelCredentials(options.tls));
  grpc::ChannelArguments arguments;
  const int max_bytes =
      static_cast<int>(std::min<uint64_t>(options.max_message_bytes, std::numeric_limits<int>::max()));
  arguments.SetMaxReceiveMessageSize(max_bytes);
  arguments.SetMaxSendMessageSize(max_bytes);
  arguments.SetServiceConfigJSON(ServiceConfig(options));
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(absl::ToInt64Milliseconds(options.keepalive)));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A restarted backend is found again quickly.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.max_reconnect_backoff)));
  // Environment proxies are for the internet, not for calls inside a cluster.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace alcove::rpc
