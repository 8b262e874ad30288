// grpc.reflection.v1 and v1alpha over the descriptors linked into the process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/rpc/service.h"

namespace alcove::rpc {

// Both services; `names` are what list_services answers.
std::vector<std::unique_ptr<Service>> MakeReflectionServices(std::vector<std::string> names);

}  // namespace alcove::rpc
