// absl::Status to and from the wire. Codes are numerically equal; structured details travel as google.rpc.Status in the
// trailer grpc-status-details-bin (libs/net/status_details.h).
#pragma once

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

#include "libs/common/status.h"

namespace alcove::rpc {

// What of a status is sent: the message cut at 1 KiB, the details at 3 KiB serialised (violations are dropped from the
// end), all of it valid UTF-8, so that it always fits the 8 KiB of metadata a gRPC peer accepts.
absl::Status FitForWire(const absl::Status& status);

// A status from grpc++. Details of other types are left out; malformed ones, and more than 64 KiB of them, count as
// none.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace alcove::rpc
