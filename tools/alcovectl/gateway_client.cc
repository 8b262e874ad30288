#include "tools/alcovectl/gateway_client.h"

#include <chrono>
#include <cstdlib>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "libs/common/fs.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "tools/alcovectl/stack/layout.h"
#include "tools/alcovectl/stack/state.h"

namespace alcove::ctl {
namespace {

constexpr size_t kMaxKeyFile = 4096;
constexpr std::chrono::minutes kLongestCall(10);
constexpr int kMaxMessageBytes = 80 << 20;

std::string FlagOrEnv(const Invocation& invocation, absl::string_view flag, const char* variable) {
  if (invocation.Has(flag)) return invocation.Get(flag);
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::FromFlags(const Invocation& invocation) {
  std::unique_ptr<GatewayClient> client(new GatewayClient);
  client->address_ = FlagOrEnv(invocation, "server", "ALCOVE_SERVER");
  client->key_ = FlagOrEnv(invocation, "key", "ALCOVE_API_KEY");
  ALCOVE_ASSIGN_OR_RETURN(client->timeout_, ParseDurationText(invocation.Get("timeout")));

  const std::string data = FlagOrEnv(invocation, "data", "ALCOVE_DATA");
  if (client->address_.empty() || (client->key_.empty() && !data.empty())) {
    const StackLayout layout(data.empty() ? kDefaultDataFolder : data);
    auto state = ReadStackState(layout);
    if (state.ok()) {
      if (client->address_.empty()) client->address_ = state->gateway;
      if (client->key_.empty()) {
        if (auto key = ReadFile(layout.AdminKey(), kMaxKeyFile); key.ok()) {
          client->key_ = std::string(absl::StripAsciiWhitespace(*key));
        }
      }
    } else if (!data.empty() && client->address_.empty()) {
      return Annotate(state.status(), absl::StrCat("no stack has run in ", data));
    }
  }
  if (client->address_.empty()) client->address_ = "127.0.0.1:8080";

  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  absl::string_view target = client->address_;
  if (absl::ConsumePrefix(&target, "https://")) {
    credentials = grpc::SslCredentials(grpc::SslCredentialsOptions());
  } else {
    absl::ConsumePrefix(&target, "http://");
  }
  absl::ConsumeSuffix(&target, "/");
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  args.SetUserAgentPrefix("alcovectl");
  client->channel_ = grpc::CreateCustomChannel(std::string(target), credentials, args);
  return client;
}

void GatewayClient::Prepare(grpc::ClientContext& context) const {
  if (!key_.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", key_));
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoNanoseconds(timeout_));
}

void GatewayClient::PrepareStream(grpc::ClientContext& context) const {
  if (!key_.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", key_));
  context.set_deadline(std::chrono::system_clock::now() + kLongestCall);
}

absl::Status GatewayClient::Explain(const grpc::Status& status) const {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string message = status.error_message();
  if (code == absl::StatusCode::kUnavailable && absl::StrContains(message, "connect")) {
    message = absl::StrCat("no gateway answers at ", address_, " (", message,
                           "); start one with `alcovectl up`, or name one with --server");
  } else if (code == absl::StatusCode::kUnauthenticated) {
    absl::StrAppend(&message, "; pass --key, set ALCOVE_API_KEY, or point --data at a local stack's folder");
  }
  return absl::Status(code, message);
}

}  // namespace alcove::ctl
