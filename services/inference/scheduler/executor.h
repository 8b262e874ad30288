// Runs embedding requests on worker threads: queues texts per model, forms batches (batcher.h), runs them, and answers
// each request once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

#include "libs/common/clock.h"
#include "libs/common/metrics.h"
#include "libs/common/request_context.h"
#include "services/inference/engine/ops.h"
#include "services/inference/scheduler/batcher.h"

namespace alcove::inference {

// What a worker runs. EmbeddingModel is the real one; tests use a fake. Thread safe.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  virtual size_t dimension() const = 0;
  // out[n, dimension()] for n sequences that the runner accepts.
  virtual void Run(absl::Span<const absl::Span<const int32_t>> sequences, Workspace& workspace, float* out) const = 0;
};

// Vectors of one request: values[n, dimension].
struct EmbedResult {
  std::vector<float> values;
  size_t dimension = 0;
};

// Called exactly once for each submitted request, on a worker, on the cancelling thread, or inside Submit when the
// request is refused. It must be short and must not call the executor back.
using EmbedDone = absl::AnyInvocable<void(absl::StatusOr<EmbedResult>)>;

struct ExecutorStats {
  int64_t texts = 0;    // embedded since the start
  int64_t batches = 0;  // run since the start
  int64_t queued = 0;   // texts waiting now
  int64_t running = 0;  // texts in batches now
};

// Thread safe. Every model has its own queue, so a batch never mixes models.
class Executor {
 public:
  // `workers` threads, at least 1. `clock` and `registry` outlive the executor.
  Executor(int workers, Clock* clock, Registry* registry);
  // Refuses what still waits with UNAVAILABLE and joins the workers. No Submit may be in progress.
  ~Executor();

  // Adds a model; its name must be new. The runner outlives the executor.
  void AddModel(const std::string& name, const BatchRunner* runner, const BatchLimits& limits);

  // Queues `sequences` for a model added before. RESOURCE_EXHAUSTED with a retry hint when the queue is full, NOT_FOUND
  // for an unknown model, UNAVAILABLE while stopping; DEADLINE_EXCEEDED or the cancellation's status when the context
  // ends first: texts that have not begun are then not run.
  void Submit(const RequestContext& ctx, absl::string_view model, std::vector<std::vector<int32_t>> sequences,
              Priority priority, EmbedDone done);

  ExecutorStats stats() const;
  int workers() const { return static_cast<int>(threads_.size()); }
  // Bytes of the workers' scratch memory.
  size_t workspace_bytes() const { return workspace_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Request;
  struct Queue;
  // A text of a request.
  struct Place {
    std::shared_ptr<Request> request;
    size_t index = 0;
  };

  void WorkerLoop();
  // The queue to serve next and when: of those with a batch due, the one that has waited longest for its turn; else the
  // one due first. Null without models.
  Queue* NextQueue(absl::Time* due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs what Take() gave; mu_ not held.
  void RunBatch(Queue& queue, std::vector<Place> places, size_t tokens, absl::Time now, Workspace& workspace);
  void CancelRequest(const std::shared_ptr<Request>& request);
  // Returns whether this answered the request.
  static bool Complete(const std::shared_ptr<Request>& request, size_t texts);
  static void Fail(const std::shared_ptr<Request>& request, absl::Status status);

  Clock* const clock_;
  Registry* const registry_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::unique_ptr<Queue>> queues_ ABSL_GUARDED_BY(mu_);
  std::vector<Queue*> order_ ABSL_GUARDED_BY(mu_);
  uint64_t changes_ ABSL_GUARDED_BY(mu_) = 0;  // grows whenever a waiting worker should look again
  uint64_t turns_ ABSL_GUARDED_BY(mu_) = 0;
  // Cancelled requests. A cancellation callback must not destroy its own registration, so workers do it later.
  std::vector<std::shared_ptr<Request>> retired_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::atomic<int64_t> texts_{0};
  std::atomic<int64_t> batches_{0};
  std::atomic<int64_t> running_{0};
  std::atomic<size_t> workspace_bytes_{0};
  std::vector<std::thread> threads_;
};

}  // namespace alcove::inference
