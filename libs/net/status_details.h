#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

// The details of a status as a serialized google.rpc.Status, the form of `grpc-status-details-bin`. The few messages
// involved are read and written by their field numbers (google/rpc/status.proto, error_details.proto), so that the
// network rooms need no generated code.
namespace alcove::net {

// Empty when `status` carries no details.
std::string EncodeStatusDetails(const absl::Status& status);

// Attaches the details found in `bytes` to a non-OK `status` (alcove::SetErrorDetails). Unknown details are skipped;
// malformed bytes attach nothing. Bounded by the length of `bytes`.
void DecodeStatusDetails(std::string_view bytes, absl::Status& status);

}  // namespace alcove::net
