#include "libs/rpc/status.h"

#include "libs/common/text.h"
#include "libs/net/status_details.h"

namespace alcove::rpc {
namespace {

constexpr size_t kMaxMessage = 1024;
constexpr size_t kMaxDetails = 3072;
constexpr size_t kMaxIncomingDetails = 64 * 1024;

void MakeValid(ErrorDetails& details) {
  details.reason = ToValidUtf8(details.reason);
  for (FieldViolation& violation : details.field_violations) {
    violation.field = ToValidUtf8(violation.field);
    violation.description = ToValidUtf8(violation.description);
  }
  if (details.resource) {
    details.resource->type = ToValidUtf8(details.resource->type);
    details.resource->name = ToValidUtf8(details.resource->name);
    details.resource->description = ToValidUtf8(details.resource->description);
  }
}

}  // namespace

absl::Status FitForWire(const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status bare(status.code(), ToValidUtf8(TruncateUtf8(status.message(), kMaxMessage)));
  ErrorDetails details = GetErrorDetails(status);
  MakeValid(details);
  while (!details.empty()) {
    absl::Status result = bare;
    SetErrorDetails(result, details);
    if (net::EncodeStatusDetails(result).size() <= kMaxDetails) return result;
    if (details.field_violations.empty()) break;
    details.field_violations.resize(details.field_violations.size() / 2);
  }
  return bare;
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (status.error_details().size() <= kMaxIncomingDetails) net::DecodeStatusDetails(status.error_details(), result);
  return result;
}

}  // namespace alcove::rpc
