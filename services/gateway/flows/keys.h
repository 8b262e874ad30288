#pragma once

#include <boost/asio/thread_pool.hpp>

#include "absl/status/statusor.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "libs/common/request_context.h"
#include "libs/store/store.h"
#include "services/gateway/access/key_directory.h"
#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// What the methods of alcove.gateway.v1.KeyService work with. `store` null: keys are switched off, and the methods
// answer FAILED_PRECONDITION.
struct KeyEnv {
  store::Store* store = nullptr;
  KeyDirectory* directory = nullptr;
  asio::thread_pool* workers = nullptr;
  Clock* clock = RealClock();
};

asio::awaitable<absl::StatusOr<v1::CreateKeyResponse>> CreateKey(KeyEnv& env, const RequestContext& ctx,
                                                                 const v1::CreateKeyRequest& request);
asio::awaitable<absl::StatusOr<v1::ListKeysResponse>> ListKeys(KeyEnv& env, const RequestContext& ctx,
                                                               const v1::ListKeysRequest& request);
asio::awaitable<absl::StatusOr<v1::RevokeKeyResponse>> RevokeKey(KeyEnv& env, const RequestContext& ctx,
                                                                 const v1::RevokeKeyRequest& request);

}  // namespace alcove::gateway
