// grpc.reflection.v1 and v1alpha over the descriptors linked into the process. The library that comes with grpc++ has
// only v1alpha and registers descriptors of its own, which clash with ours.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/impl/service_type.h>

namespace alcove::rpc {

// Both services; `names` are what list_services answers.
std::vector<std::unique_ptr<grpc::Service>> MakeReflectionServices(std::vector<std::string> names);

}  // namespace alcove::rpc
