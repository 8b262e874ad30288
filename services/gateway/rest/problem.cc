#include "services/gateway/rest/problem.h"

#include "libs/common/status.h"
#include "services/gateway/rest/json_writer.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {

std::string_view HttpReason(int http_status) {
  switch (http_status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 429: return "Too Many Requests";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
  }
}

std::string ProblemJson(const absl::Status& status, std::string_view request_id, int http_status) {
  if (http_status == 0) http_status = HttpStatusFromCode(status.code());
  const ErrorDetails details = GetErrorDetails(status);
  JsonBuilder json;
  json.BeginObject()
      .Member("type", "about:blank")
      .Member("title", HttpReason(http_status))
      .Key("status")
      .Integer(http_status)
      .Member("detail", FromAbsl(status.message()))
      .Member("code", FromAbsl(StatusCodeName(status.code())));
  if (!request_id.empty()) json.Member("request_id", request_id);
  if (!details.reason.empty()) json.Member("reason", details.reason);
  if (!details.field_violations.empty()) {
    json.Key("errors").BeginArray();
    for (const FieldViolation& violation : details.field_violations) {
      json.BeginObject().Member("field", violation.field).Member("description", violation.description).EndObject();
    }
    json.EndArray();
  }
  if (details.resource) {
    json.Key("resource").BeginObject().Member("type", details.resource->type).Member("name", details.resource->name);
    json.EndObject();
  }
  if (details.retry_after) json.Key("retry_after_ms").Integer(absl::ToInt64Milliseconds(*details.retry_after));
  json.EndObject();
  return json.Take();
}

}  // namespace alcove::gateway
