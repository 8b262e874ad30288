#pragma once

#include <string>
#include <string_view>

#include "services/gateway/rest/method_table.h"

namespace alcove::gateway {

// Parts of the document that no proto describes, as JSON members: "\"/v1/models\":{…},\"/health\":{…}".
struct OpenApiExtras {
  std::string_view paths;
  std::string_view schemas;
};

// The OpenAPI 3.1 document of every method with an HTTP form, described by the comments of the protos. Methods that are
// planned are in it with the answer they give: 501.
std::string BuildOpenApi(const MethodTable& methods, std::string_view version, const OpenApiExtras& extras = {});

}  // namespace alcove::gateway
