#include "libs/rpc/server.h"

#include <algorithm>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>
#include <unistd.h>

#include "libs/common/net_address.h"
#include "libs/common/status.h"
#include "libs/rpc/reflection.h"

namespace alcove::rpc {
namespace {

void Configure(const ServerOptions& options, grpc::ServerBuilder& builder) {
  const int max_bytes =
      static_cast<int>(std::min<uint64_t>(options.max_message_bytes, std::numeric_limits<int>::max()));
  builder.SetMaxReceiveMessageSize(max_bytes);
  builder.SetMaxSendMessageSize(max_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  // Two processes on one port would share its connections by chance; a taken port must be an error.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Our channels probe idle connections every 30 s; the default calls that abuse.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 5);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Vectors and ciphertexts do not compress, and a compressed message can be a bomb.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      std::vector<ServiceEntry> services) {
  ALCOVE_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(options.listen));
  ALCOVE_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                          MakeServerCredentials(options.tls));
  if (address.host.empty()) address.host = "0.0.0.0";
  // gRPC says only that it failed; a listener of our own, opened and closed first, knows why.
  using Listener = std::pair<int, uint16_t>;
  ALCOVE_ASSIGN_OR_RETURN(const Listener probe, ListenTcp(address, 1));
  close(probe.first);

  std::unique_ptr<Server> server(new Server);
  grpc::ServerBuilder builder;
  Configure(options, builder);
  int port = 0;
  builder.AddListeningPort(address.ToString(), credentials, &port);
  std::vector<std::string> names;
  for (const ServiceEntry& entry : services) {
    builder.RegisterService(entry.service);
    names.push_back(entry.name);
  }
  server->health_ = std::make_unique<HealthService>(names);
  builder.RegisterService(server->health_.get());
  names.push_back(grpc::health::v1::Health::service_full_name());
  server->reflection_ = MakeReflectionServices(std::move(names));
  for (const auto& service : server->reflection_) builder.RegisterService(service.get());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.ToString(), ": gRPC refused the address or its TLS certificate"));
  }
  server->port_ = address.port = static_cast<uint16_t>(port);
  server->address_ = address.ToString();
  return server;
}

Server::~Server() {
  if (server_ != nullptr) (void)Drain(absl::Now());
}

void Server::SetServing(bool serving) { health_->SetServing(serving); }

absl::Status Server::Drain(absl::Time deadline) {
  if (drained_) return absl::OkStatus();
  drained_ = true;
  health_->Shutdown();
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  if (absl::Now() >= deadline) {
    return absl::DeadlineExceededError("calls were still in flight at the end of the drain and were cancelled");
  }
  return absl::OkStatus();
}

}  // namespace alcove::rpc
