// absl::Status to and from gRPC. Codes are numerically equal; structured details travel as google.rpc.Status in the
// trailer grpc-status-details-bin.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <grpcpp/support/status.h>

#include "libs/common/status.h"

namespace alcove::rpc {

// Messages are cut at 1 KiB and details at 3 KiB (violations are dropped from the end), so that a status always fits
// the 8 KiB of metadata a gRPC peer accepts.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// A serialised google.rpc.Status with google.rpc.{ErrorInfo, BadRequest, ResourceInfo, RetryInfo}; empty when the
// status has no details. What grpc-status-details-bin carries.
std::string SerializeDetails(const absl::Status& status);
// The inverse; details of other types are left out, malformed bytes give empty details.
ErrorDetails ParseDetails(absl::string_view serialized);

}  // namespace alcove::rpc
