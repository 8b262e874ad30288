#include "services/gateway/openai/openai_error.h"

#include <string_view>

#include "absl/strings/ascii.h"
#include "libs/common/status.h"
#include "services/gateway/rest/json_writer.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

std::string_view TypeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists: return "invalid_request_error";
    case absl::StatusCode::kUnauthenticated: return "authentication_error";
    case absl::StatusCode::kPermissionDenied: return "permission_error";
    case absl::StatusCode::kResourceExhausted: return "rate_limit_error";
    default: return "server_error";
  }
}

std::string CodeOf(const absl::Status& status, const ErrorDetails& details) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated: return "invalid_api_key";
    case absl::StatusCode::kResourceExhausted: return "rate_limit_exceeded";
    case absl::StatusCode::kUnimplemented: return "not_implemented";
    case absl::StatusCode::kUnavailable: return "service_unavailable";
    case absl::StatusCode::kDeadlineExceeded: return "timeout";
    case absl::StatusCode::kNotFound:
      return details.resource && details.resource->type == "model" ? "model_not_found" : "not_found";
    default: return absl::AsciiStrToLower(details.reason);
  }
}

}  // namespace

std::string OpenAiErrorJson(const absl::Status& status) {
  const ErrorDetails details = GetErrorDetails(status);
  std::string param;
  if (!details.field_violations.empty()) param = details.field_violations[0].field;
  if (details.resource && details.resource->type == "model") param = "model";
  const std::string code = CodeOf(status, details);
  JsonBuilder json;
  json.BeginObject().Key("error").BeginObject();
  json.Member("message", FromAbsl(status.message())).Member("type", TypeOf(status.code())).Key("param");
  param.empty() ? json.Null() : json.Text(param);
  json.Key("code");
  code.empty() ? json.Null() : json.Text(code);
  json.EndObject().EndObject();
  return json.Take();
}

}  // namespace alcove::gateway
