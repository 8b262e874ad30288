#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace alcove::gateway {

inline constexpr std::string_view kProblemContentType = "application/problem+json";

// The body of an error answer (RFC 9457). Members: type ("about:blank"), title (the HTTP reason), status, detail (the
// message), code ("INVALID_ARGUMENT"), request_id, and when the status carries them: reason, errors [{field,
// description}], resource {type, name}, retry_after_ms. `http_status` 0 takes the status of the code.
std::string ProblemJson(const absl::Status& status, std::string_view request_id, int http_status = 0);

// "Not Found"; "Error" for a number without a name.
std::string_view HttpReason(int http_status);

}  // namespace alcove::gateway
