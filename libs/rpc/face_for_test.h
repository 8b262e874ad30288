// A service and certificates for tests of both ends of a call.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "alcove/cache/v1/cache.pb.h"
#include "libs/common/request_context.h"
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

// A context with a value for everything that travels.
inline RequestContext FullContext() {
  TraceContext trace = NewTrace(true);
  trace.state = "vendor=1";
  return RequestContext({"acme", "req-1", "key-7", trace}, absl::Now() + absl::Seconds(30), {}, Criticality::kLow);
}

// That the callee of a call made with `sent` has seen all of it.
inline void ExpectCarried(const RequestContext& sent, const RequestContext& seen) {
  EXPECT_EQ(seen.tenant(), sent.tenant());
  EXPECT_EQ(seen.request_id(), sent.request_id());
  EXPECT_EQ(seen.key_id(), sent.key_id());
  EXPECT_EQ(seen.criticality(), sent.criticality());
  EXPECT_EQ(seen.trace().trace_id, sent.trace().trace_id);
  EXPECT_NE(seen.trace().span_id, sent.trace().span_id) << "the callee works in a span of its own";
  EXPECT_TRUE(seen.trace().sampled());
  EXPECT_EQ(seen.trace().state, sent.trace().state);
  EXPECT_NEAR(absl::ToDoubleSeconds(seen.deadline() - sent.deadline()), 0, 1);
}

}  // namespace alcove::rpc
