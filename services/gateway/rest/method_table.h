#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "services/gateway/rest/access_scope.h"
#include "services/gateway/rest/transcoder.h"

namespace alcove::gateway {

// What the gateway knows of one RPC method, all of it from the method's options.
struct MethodInfo {
  const google::protobuf::MethodDescriptor* method = nullptr;  // of the generated pool
  std::string path;                                            // "/alcove.vector.v1.VectorService/SearchPoints"
  std::string upstream;                                        // "vector-search"; empty: the gateway itself
  AccessScope scope = AccessScope::kAdmin;
  bool planned = false;   // answers UNIMPLEMENTED in this release
  bool internal = false;  // not for clients
  bool idempotent = false;
  std::vector<HttpBinding> bindings;
  const google::protobuf::Message* request = nullptr;  // prototypes: New() makes an empty one
  const google::protobuf::Message* reply = nullptr;

  bool streaming() const { return method->client_streaming() || method->server_streaming(); }
};

// Every method of every API proto. Immutable once built; thread-safe.
class MethodTable {
 public:
  // Reads the embedded descriptors. INTERNAL, naming the method, when an option cannot be honoured.
  static absl::StatusOr<std::unique_ptr<MethodTable>> Build();

  // By "/package.Service/Method"; null when there is none.
  const MethodInfo* Find(std::string_view path) const;
  const std::vector<MethodInfo>& methods() const { return methods_; }
  // Full names of services with at least one method for clients, sorted.
  const std::vector<std::string>& public_services() const { return public_services_; }

 private:
  MethodTable() = default;
  std::vector<MethodInfo> methods_;
  absl::flat_hash_map<std::string, size_t> by_path_;
  std::vector<std::string> public_services_;
};

}  // namespace alcove::gateway
