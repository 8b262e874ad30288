#pragma once

#include <string>
#include <string_view>

#include "services/gateway/rest/method_table.h"

namespace alcove::gateway {

// Answers one message of grpc.reflection.{v1,v1alpha}.ServerReflection/ServerReflectionInfo from the embedded
// descriptors. Both versions have the same fields, so one implementation serves both on the wire. What cannot be found
// is an error_response inside the reply, as the protocol wants; a request that cannot be parsed is INVALID_ARGUMENT.
absl::StatusOr<std::string> AnswerReflection(const MethodTable& methods, std::string_view request);

// Whether `path` is the reflection method of either version.
bool IsReflectionPath(std::string_view path);

}  // namespace alcove::gateway
