#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "libs/net/client_stream.h"
#include "libs/net/header_list.h"

// What gRPC calls over a ClientStream have in common, whoever makes them.
namespace alcove::net {

// Begins a gRPC request head: pseudo headers, te, content type.
void StartGrpcHead(std::string_view path, std::string_view authority, std::string_view content_type, HeaderList& head,
                   bool tls = false);

// What a caller must be told when a stream ended without gRPC status. `service` and `address` name who was called.
absl::Status StatusFromClose(const ClientStreamHandler::Close& close, std::string_view service,
                             std::string_view address);

}  // namespace alcove::net
