#pragma once

#include "services/gateway/rest/openapi.h"

namespace alcove::gateway {

// The OpenAI routes and the gateway's own pages, for the OpenAPI document.
OpenApiExtras HandWrittenPaths();

}  // namespace alcove::gateway
