#pragma once

#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <google/protobuf/message_lite.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/common/request_context.h"

namespace alcove::gateway {

namespace asio = boost::asio;

// A unary method of a process behind the gateway.
struct BackendMethod {
  const char* upstream;  // "inference", "vector-search", "fhe-proxy", "cache"
  const char* path;      // "/package.Service/Method"
  bool idempotent;
};

// The processes behind the gateway, as flows see them: serialized messages out, serialized messages back. One per loop;
// tests give their own.
class Backends {
 public:
  virtual ~Backends() = default;
  // Ends with the context's deadline or after `timeout`, whichever comes first; a cancelled context ends the call.
  virtual asio::awaitable<absl::StatusOr<std::string>> Call(RequestContext ctx, BackendMethod method,
                                                            std::string request, absl::Duration timeout) = 0;
  // Whether any process of that name is configured.
  virtual bool Has(const char* upstream) const = 0;
};

// The typed form of Backends::Call. INTERNAL when the reply cannot be parsed.
template <typename Reply>
asio::awaitable<absl::StatusOr<Reply>> CallBackend(Backends& backends, const RequestContext& ctx, BackendMethod method,
                                                   const google::protobuf::MessageLite& request,
                                                   absl::Duration timeout = absl::InfiniteDuration()) {
  std::string bytes = request.SerializeAsString();
  RequestContext context = ctx;
  absl::StatusOr<std::string> answer = co_await backends.Call(std::move(context), method, std::move(bytes), timeout);
  if (!answer.ok()) co_return answer.status();
  Reply reply;
  if (!reply.ParseFromString(*answer)) {
    co_return absl::InternalError(std::string(method.upstream) + " sent a reply that cannot be read");
  }
  co_return reply;
}

namespace methods {

inline constexpr BackendMethod kEmbed{"inference", "/alcove.inference.v1.InferenceService/Embed", true};
inline constexpr BackendMethod kListModels{"inference", "/alcove.inference.v1.InferenceService/ListModels", true};
inline constexpr BackendMethod kGetCollection{"vector-search", "/alcove.vector.v1.VectorService/GetCollection", true};
inline constexpr BackendMethod kUpsertPoints{"vector-search", "/alcove.vector.v1.VectorService/UpsertPoints", true};
inline constexpr BackendMethod kDeletePoints{"vector-search", "/alcove.vector.v1.VectorService/DeletePoints", true};
inline constexpr BackendMethod kGetPoints{"vector-search", "/alcove.vector.v1.VectorService/GetPoints", true};
inline constexpr BackendMethod kSearchPoints{"vector-search", "/alcove.vector.v1.VectorService/SearchPoints", true};
inline constexpr BackendMethod kCacheGet{"cache", "/alcove.cache.v1.CacheService/Get", false};
inline constexpr BackendMethod kCachePut{"cache", "/alcove.cache.v1.CacheService/Put", true};
inline constexpr BackendMethod kCacheRelease{"cache", "/alcove.cache.v1.CacheService/Release", true};
inline constexpr BackendMethod kCacheInvalidate{"cache", "/alcove.cache.v1.CacheService/InvalidateTags", true};

}  // namespace methods

}  // namespace alcove::gateway
