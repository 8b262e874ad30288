// alcove.cache.v1.CacheService over the tiers. Semantic methods answer UNIMPLEMENTED in this version.
#pragma once

#include <string>

#include <absl/time/time.h>

#include "alcove/cache/v1/cache.grpc.pb.h"
#include "libs/common/clock.h"
#include "libs/rpc/method.h"
#include "services/cache/tiers/tiered_cache.h"

namespace alcove::cache {

// Thread safe. The cache and the clock must outlive it.
class CacheFace final : public v1::CacheService::CallbackService {
 public:
  CacheFace(TieredCache& cache, const rpc::MethodOptions& options, const Clock& clock);

  void SetAddress(const std::string& address) { address_ = address; }

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* server, const v1::GetRequest* request,
                                v1::GetResponse* response) override;
  grpc::ServerUnaryReactor* BatchGet(grpc::CallbackServerContext* server, const v1::BatchGetRequest* request,
                                     v1::BatchGetResponse* response) override;
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* server, const v1::PutRequest* request,
                                v1::PutResponse* response) override;
  grpc::ServerUnaryReactor* BatchPut(grpc::CallbackServerContext* server, const v1::BatchPutRequest* request,
                                     v1::BatchPutResponse* response) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* server, const v1::ReleaseRequest* request,
                                    v1::ReleaseResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* server, const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* InvalidateTags(grpc::CallbackServerContext* server,
                                           const v1::InvalidateTagsRequest* request,
                                           v1::InvalidateTagsResponse* response) override;
  grpc::ServerUnaryReactor* SemanticGet(grpc::CallbackServerContext* server, const v1::SemanticGetRequest* request,
                                        v1::SemanticGetResponse* response) override;
  grpc::ServerUnaryReactor* SemanticPut(grpc::CallbackServerContext* server, const v1::SemanticPutRequest* request,
                                        v1::SemanticPutResponse* response) override;
  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext* server, const v1::GetStatsRequest* request,
                                     v1::GetStatsResponse* response) override;

 private:
  TieredCache& cache_;
  const absl::Time started_at_;
  std::string address_;
  rpc::UnaryMethod get_, batch_get_, put_, batch_put_, release_, delete_, invalidate_tags_, semantic_get_,
      semantic_put_, get_stats_;
};

}  // namespace alcove::cache
