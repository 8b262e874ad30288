#pragma once

#include <string>

#include "absl/status/status.h"

namespace alcove::gateway {

// {"error":{"message","type","param","code"}} as OpenAI's API answers it: `type` tells the family
// (invalid_request_error, authentication_error, permission_error, rate_limit_error, server_error), `param` the field
// the error is about or null, `code` a stable short name (invalid_api_key, model_not_found, rate_limit_exceeded, …) or
// null.
std::string OpenAiErrorJson(const absl::Status& status);

}  // namespace alcove::gateway
