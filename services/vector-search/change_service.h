// alcove.vector.v1.ChangeService: a collection's log, read for processes that keep a copy of their own. Any node
// answers for every shard, since the log is in the store all nodes share.
#pragma once

#include "alcove/vector/v1/changes.grpc.pb.h"
#include "libs/rpc/method.h"
#include "libs/store/log_store.h"
#include "services/vector-search/catalog/catalog.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

class ChangeFace final : public rpc::Service {
 public:
  // All outlive the face.
  ChangeFace(Catalog& catalog, store::LogStore& log, WorkQueue& reads, const rpc::MethodOptions& options);

  void DescribeLog(rpc::UnaryCall* call, const ::alcove::vector::v1::DescribeLogRequest* request,
                   ::alcove::vector::v1::DescribeLogResponse* response);
  void ReadChanges(rpc::UnaryCall* call, const ::alcove::vector::v1::ReadChangesRequest* request,
                   ::alcove::vector::v1::ReadChangesResponse* response);

 private:
  absl::StatusOr<CatalogEntryPtr> Find(const RequestContext& ctx, const std::string& collection,
                                       const std::string& vector_name);

  Catalog& catalog_;
  store::LogStore& log_;
  WorkQueue& reads_;
  rpc::UnaryMethod describe_log_, read_changes_;
};

}  // namespace alcove::vector_search
