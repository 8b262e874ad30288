#pragma once

// The shard's side of the log: reads one shard's records in order and hands them to a sink, forever.

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/common/clock.h"
#include "libs/store/log_store.h"
#include "services/vector-search/log/point_record.h"

namespace alcove::vector_search {

struct TailedOperation {
  store::Sequence sequence = 0;
  PointOperation operation;
};

// What the tailer feeds. Called from one thread at a time.
class LogSink {
 public:
  virtual ~LogSink() = default;

  // Applies operations of ascending sequence; their views live until the call returns. An error stops the tailer
  // (it is kept as its status); operations are handed over again after the next Start, so applying must be
  // idempotent by sequence or by state.
  virtual absl::Status Apply(absl::Span<const TailedOperation> operations) = 0;

  // The log was compacted past what this reader had seen: drop everything; Apply begins again from the first record.
  virtual absl::Status Reset() = 0;
};

struct TailerOptions {
  store::ShardAddress address;
  store::Sequence applied_sequence = 0;                 // what the sink already contains (its snapshot's sequence)
  int64_t read_bytes = 8 << 20;                         // about how much one read and one Apply carry
  absl::Duration idle_wait = absl::Seconds(5);          // longest wait before looking at the store again
  absl::Duration first_retry = absl::Milliseconds(50);  // after an UNAVAILABLE store; doubles up to max_retry
  absl::Duration max_retry = absl::Seconds(5);
  Clock* clock = nullptr;  // null: the real one
};

// Thread safety: all methods from any thread, except that Start, Stop and CatchUp must not race each other.
class LogTailer {
 public:
  // `log` and `sink` outlive the tailer.
  LogTailer(store::LogStore* log, LogSink* sink, TailerOptions options);
  ~LogTailer();
  LogTailer(const LogTailer&) = delete;
  LogTailer& operator=(const LogTailer&) = delete;

  // Applies everything up to the head found on the way, on the caller's thread: a shard calls it before it says it is
  // ready, tests call it instead of Start. DATA_LOSS names shard and sequence of a hole or damage.
  absl::Status CatchUp();

  // Follows the log on a thread of its own until Stop.
  void Start();
  void Stop();

  // Another process says it has committed: look now.
  void Hint() { log_->HintAppended(); }

  store::Sequence applied_sequence() const { return applied_.load(std::memory_order_acquire); }
  // Head as last seen; head - applied is the lag in records.
  store::Sequence head_sequence() const { return head_.load(std::memory_order_acquire); }
  // OK while following; the reason when it has stopped by itself or waits for the store to come back (UNAVAILABLE).
  absl::Status status() const;

  // Blocks until `sequence` is applied. DEADLINE_EXCEEDED names how far it is; the tailer's own error when it stopped;
  // CANCELLED after Stop.
  absl::Status WaitApplied(store::Sequence sequence, absl::Time deadline);

 private:
  absl::StatusOr<bool> Step();
  void Run();
  void Publish(store::Sequence applied);
  void SetStatus(const absl::Status& status);

  store::LogStore* const log_;
  LogSink* const sink_;
  const TailerOptions options_;
  Clock* const clock_;

  store::ReadPosition position_;  // owned by whoever steps
  std::vector<TailedOperation> batch_;
  std::atomic<store::Sequence> applied_;
  std::atomic<store::Sequence> head_;

  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> stopping_{false};  // written under mutex_, so that its waiters see it
  std::thread thread_;
};

}  // namespace alcove::vector_search
