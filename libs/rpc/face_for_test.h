// A service and certificates for tests of both ends of a call.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "alcove/cache/v1/cache.pb.h"
#include "libs/common/status.h"
#include "libs/rpc/credentials.h"
#include "libs/rpc/method.h"
#include "libs/testing/certificates.h"
#include "libs/testing/temp_dir.h"

namespace alcove::rpc {

namespace cache = ::alcove::cache::v1;

inline constexpr char kService[] = "alcove.cache.v1.CacheService";

// Get is answered on a pool, Delete by a callback; tests say how.
class Face final : public Service {
 public:
  explicit Face(Registry& registry) : Service(kService), options_{.registry = &registry, .pool = &pool_} {
    Unary("Get", &Face::Get);
    Unary("Delete", &Face::Delete);
  }
  void Get(UnaryCall* call, const cache::GetRequest*, cache::GetResponse* response) {
    return get_.Handle(call, [=, this](const RequestContext& ctx) { return on_get(ctx, *response); });
  }
  void Delete(UnaryCall* call, const cache::DeleteRequest*, cache::DeleteResponse*) {
    return delete_.HandleAsync(call,
                               [this](const RequestContext& ctx, Finish finish) { on_delete(ctx, std::move(finish)); });
  }
  std::function<absl::Status(const RequestContext&, cache::GetResponse&)> on_get;
  std::function<void(const RequestContext&, Finish)> on_delete;

 private:
  TaskPool pool_{2};
  MethodOptions options_;
  UnaryMethod get_{options_, kService, "Get"};
  UnaryMethod delete_{options_, kService, "Delete"};
};

// A self-signed certificate, its own authority, for a host name and an address.
inline absl::StatusOr<TlsFiles> MakeTlsFiles(const alcove::testing::TempDir& folder, const std::string& host,
                                             const std::string& address) {
  ALCOVE_ASSIGN_OR_RETURN(const alcove::testing::Certificate made,
                          alcove::testing::MakeCertificate(folder, host, address));
  return TlsFiles{made.certificate, made.private_key, made.certificate};
}

}  // namespace alcove::rpc
