#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/net/loop.h"

namespace alcove::gateway {

// Whether a client's request field may be passed on to a backend: not hop-by-hop, not a credential, not one that only
// the gateway may set.
bool ForwardableRequestField(std::string_view lower_name);
// Whether a backend's response field may be passed on to a client.
bool ForwardableResponseField(std::string_view lower_name);

// A well-formed traceparent, judged by its shape alone.
bool LooksLikeTraceparent(std::string_view value);

// 16 lower-case hex digits for a request id (it travels uncompressed with every call); 55 characters of a new, sampled
// traceparent.
void AppendRandomId(net::Loop& loop, std::string& out);
void AppendNewTraceparent(net::Loop& loop, std::string& out);

}  // namespace alcove::gateway
