// VectorService.StreamUpsertPoints: points come in message by message, are stored several messages to a transaction,
// the next of which is prepared meanwhile, and acknowledged in order.
#pragma once

#include <map>
#include <memory>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "alcove/vector/v1/vector.grpc.pb.h"
#include "libs/rpc/method.h"
#include "services/vector-search/coordinator/coordinator.h"
#include "services/vector-search/work_queue.h"

namespace alcove::vector_search {

// The uploads under way. Thread-safe. Outlives them.
class UpsertStreams {
 public:
  using Reactor = rpc::BidiReactor<::alcove::vector::v1::StreamUpsertPointsRequest,
                                   ::alcove::vector::v1::StreamUpsertPointsResponse>;

  // `writes` waits for the store. Both outlive this.
  UpsertStreams(Coordinator& coordinator, WorkQueue& writes, const rpc::MethodOptions& options);

  Reactor* Open(rpc::ServerCall* call);
  // Every upload ends with UNAVAILABLE once what it has sent is stored and acknowledged; so does a new one.
  void BeginDrain();

 private:
  class Stream;

  void Remove(Stream* stream);

  Coordinator& coordinator_;
  WorkQueue& writes_;
  const rpc::MethodOptions options_;
  rpc::MethodRecorder recorder_;
  Counter& messages_;
  absl::Mutex mutex_;
  std::map<Stream*, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace alcove::vector_search
