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
class CacheFace final : public rpc::Service {
 public:
  CacheFace(TieredCache& cache, const rpc::MethodOptions& options, const Clock& clock);

  void SetAddress(const std::string& address) { address_ = address; }

  void Get(rpc::UnaryCall* call, const v1::GetRequest* request, v1::GetResponse* response);
  void BatchGet(rpc::UnaryCall* call, const v1::BatchGetRequest* request, v1::BatchGetResponse* response);
  void Put(rpc::UnaryCall* call, const v1::PutRequest* request, v1::PutResponse* response);
  void BatchPut(rpc::UnaryCall* call, const v1::BatchPutRequest* request, v1::BatchPutResponse* response);
  void Release(rpc::UnaryCall* call, const v1::ReleaseRequest* request, v1::ReleaseResponse* response);
  void Delete(rpc::UnaryCall* call, const v1::DeleteRequest* request, v1::DeleteResponse* response);
  void InvalidateTags(rpc::UnaryCall* call, const v1::InvalidateTagsRequest* request,
                      v1::InvalidateTagsResponse* response);
  void SemanticGet(rpc::UnaryCall* call, const v1::SemanticGetRequest* request, v1::SemanticGetResponse* response);
  void SemanticPut(rpc::UnaryCall* call, const v1::SemanticPutRequest* request, v1::SemanticPutResponse* response);
  void GetStats(rpc::UnaryCall* call, const v1::GetStatsRequest* request, v1::GetStatsResponse* response);

 private:
  TieredCache& cache_;
  const absl::Time started_at_;
  std::string address_;
  rpc::UnaryMethod get_, batch_get_, put_, batch_put_, release_, delete_, invalidate_tags_, semantic_get_,
      semantic_put_, get_stats_;
};

}  // namespace alcove::cache
