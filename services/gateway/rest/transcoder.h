#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gateway/rest/http_template.h"
#include "services/gateway/rest/router.h"
#include "services/gateway/rest/url.h"

namespace alcove::gateway {

// One HTTP form of a method: its google.api.http rule or one of the rule's additional bindings, checked and compiled.
struct HttpBinding {
  std::string http_method;  // GET, PUT, POST, DELETE, PATCH or a custom one
  std::string path_text;    // the template as written
  PathTemplate path;
  bool whole_body = false;                                            // body: "*"
  const google::protobuf::FieldDescriptor* body_field = nullptr;      // body: "field", a message
  const google::protobuf::FieldDescriptor* response_field = nullptr;  // null: the whole reply
  const google::protobuf::MethodDescriptor* method = nullptr;

  bool takes_body() const { return whole_body || body_field != nullptr; }
};

// The bindings of a method, none when it has no rule. INVALID_ARGUMENT for a rule the gateway could not serve: a
// malformed template, a variable or body that names no suitable field.
absl::StatusOr<std::vector<HttpBinding>> CompileBindings(const google::protobuf::MethodDescriptor& method);

// Fills `request` (of the method's input type, empty) from the parts of an HTTP request. An empty body counts as {}.
// INVALID_ARGUMENT with the field's path for anything that does not fit; a field given in the path and differently in
// the body is a contradiction, a query parameter of a method that takes a whole body is unknown.
absl::Status FillRequest(const HttpBinding& binding, const std::vector<PathCapture>& captures,
                         const QueryParameters& query, std::string& body, google::protobuf::Message& request);

// The JSON of a reply: of the whole message, or of the field response_body names.
std::string RenderReply(const HttpBinding& binding, const google::protobuf::Message& reply);

// Sets the field `path` names ("filter", "params.ef"; camelCase too) from its text. A list grows by one element. A
// message field takes its JSON text, so that ?filter={"must":[…]} works.
absl::Status SetFieldByPath(google::protobuf::Message& message, std::string_view path, std::string_view text);

}  // namespace alcove::gateway
