// Errors are absl::Status with canonical codes, end to end. This header maps them to HTTP once, adds context to them,
// and attaches the structured details that the faces render: google.rpc.Status in libs/rpc, problem+json in the
// gateway.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/base/optimization.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

namespace alcove {

// The HTTP status that carries `code` to a REST client: 200 for OK, 499 for CANCELLED (nginx's convention), otherwise a
// 4xx or 5xx code. Codes that are not canonical map to 500.
int HttpStatusFromCode(absl::StatusCode code);

// The code that stands for an upstream HTTP response which carries no gRPC status: 2xx is OK, and only the statuses
// named by the gRPC-over-HTTP specification map to a specific code; everything else is UNKNOWN.
absl::StatusCode CodeFromHttpStatus(int http_status);

// "INVALID_ARGUMENT" and so on; "UNKNOWN" for a number that is no canonical code.
absl::string_view StatusCodeName(absl::StatusCode code);
// The inverse of StatusCodeName; nullopt for any other text.
std::optional<absl::StatusCode> StatusCodeFromName(absl::string_view name);

// `status` with "context: " put before its message; payloads are kept. An OK status stays OK.
absl::Status Annotate(absl::Status status, absl::string_view context);

// A status for a failed system call: the code follows `error_number` (ENOENT is NOT_FOUND, EACCES and EPERM are
// PERMISSION_DENIED, ENOSPC, EDQUOT, EMFILE, ENFILE and ENOMEM are RESOURCE_EXHAUSTED, EEXIST is ALREADY_EXISTS,
// ETIMEDOUT is DEADLINE_EXCEEDED, refused and reset connections and EADDRINUSE are UNAVAILABLE, the rest are UNKNOWN)
// and the message is "context: text of the error".
absl::Status ErrnoStatus(int error_number, absl::string_view context);

// One wrong field of a request. `field` is the path a client would write, e.g. "points[3].vector".
struct FieldViolation {
  std::string field;
  std::string description;
  friend bool operator==(const FieldViolation&, const FieldViolation&) = default;
};

// The thing an error is about, e.g. {"collection", "docs", ""}.
struct ResourceInfo {
  std::string type;
  std::string name;
  std::string description;
  friend bool operator==(const ResourceInfo&, const ResourceInfo&) = default;
};

// Structured facts that travel with a status, rendered as google.rpc.{ErrorInfo, BadRequest, ResourceInfo, RetryInfo}.
struct ErrorDetails {
  std::string reason;  // UPPER_SNAKE_CASE and stable, e.g. "QUOTA_EXCEEDED"; empty when there is nothing to add
  std::vector<FieldViolation> field_violations;
  std::optional<ResourceInfo> resource;
  std::optional<absl::Duration> retry_after;  // how long a client should wait; millisecond precision

  bool empty() const { return reason.empty() && field_violations.empty() && !resource && !retry_after; }
  friend bool operator==(const ErrorDetails&, const ErrorDetails&) = default;
};

// Replaces the details of a non-OK status; an OK status is left alone. At most 64 violations and 1 KiB of each text are
// kept, so that details always fit in response metadata.
void SetErrorDetails(absl::Status& status, const ErrorDetails& details);
// The details of a status, empty when it has none or when they cannot be read.
ErrorDetails GetErrorDetails(const absl::Status& status);

// INVALID_ARGUMENT "field: description", with the field violation attached.
absl::Status InvalidField(absl::string_view field, absl::string_view description);
// INVALID_ARGUMENT naming every violation; `violations` must not be empty.
absl::Status InvalidFields(std::vector<FieldViolation> violations);
// NOT_FOUND `<type> "<name>" not found`, with the resource attached.
absl::Status NotFound(absl::string_view type, absl::string_view name);
// ALREADY_EXISTS `<type> "<name>" already exists`, with the resource attached.
absl::Status AlreadyExists(absl::string_view type, absl::string_view name);
// UNIMPLEMENTED `<what> is not available in this version`.
absl::Status NotBuilt(absl::string_view what);
// `status` with details.retry_after set (other details kept).
absl::Status WithRetryAfter(absl::Status status, absl::Duration retry_after);
// `status` with details.reason set (other details kept).
absl::Status WithReason(absl::Status status, absl::string_view reason);

namespace status_internal {
inline absl::Status&& ToStatus(absl::Status&& status) { return std::move(status); }
inline const absl::Status& ToStatus(const absl::Status& status) { return status; }
template <typename T>
absl::Status ToStatus(absl::StatusOr<T>&& result) {
  return std::move(result).status();
}
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& result) {
  return result.status();
}
}  // namespace status_internal

}  // namespace alcove

#define ALCOVE_STATUS_CONCAT_INNER(a, b) a##b
#define ALCOVE_STATUS_CONCAT(a, b) ALCOVE_STATUS_CONCAT_INNER(a, b)

// ALCOVE_RETURN_IF_ERROR(expr): leaves the function with the status of `expr` unless it is OK.
#define ALCOVE_RETURN_IF_ERROR(expr)                                               \
  do {                                                                             \
    auto alcove_status_result = (expr);                                            \
    if (ABSL_PREDICT_FALSE(!alcove_status_result.ok())) {                          \
      return ::alcove::status_internal::ToStatus(std::move(alcove_status_result)); \
    }                                                                              \
  } while (false)

// ALCOVE_ASSIGN_OR_RETURN(auto value, expr): the value of a StatusOr, or leaves the function with its status. A
// declaration that holds a comma needs parentheses around the expression only, e.g. use an alias for std::pair<A, B>.
#define ALCOVE_ASSIGN_OR_RETURN(lhs, ...) \
  ALCOVE_ASSIGN_OR_RETURN_INNER(ALCOVE_STATUS_CONCAT(alcove_statusor_, __LINE__), lhs, __VA_ARGS__)
#define ALCOVE_ASSIGN_OR_RETURN_INNER(statusor, lhs, ...)                      \
  auto statusor = (__VA_ARGS__);                                               \
  if (ABSL_PREDICT_FALSE(!statusor.ok())) return std::move(statusor).status(); \
  lhs = *std::move(statusor)
