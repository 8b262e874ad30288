#pragma once

// Appends of one process, several to a transaction: an fsync costs the same for one batch as for fifty. The first
// caller to find nobody at work becomes the leader: it commits everything that queued up and wakes the others.

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "libs/store/internal/database.h"
#include "libs/store/internal/log_chunk.h"
#include "libs/store/log_store.h"

namespace alcove::store {

// Thread-safe.
class LogStore::GroupCommit {
 public:
  explicit GroupCommit(Database* db) : db_(db) {}

  absl::StatusOr<AppendResult> Append(const AppendRequest& request);

 private:
  struct ShardPart {
    int32_t shard = 0;
    int64_t count = 0;
    std::vector<internal::Chunk> chunks;
  };
  // One caller's batch, encoded before it waits for its turn.
  struct Pending {
    CollectionId collection_id = 0;
    int64_t epoch = 0;
    std::string idempotency_key;
    std::string fingerprint;
    std::vector<ShardPart> parts;
    int64_t bytes = 0;

    bool done = false;
    absl::Status status;
    AppendResult result;
  };
  class Transaction;

  static absl::Status Validate(const AppendRequest& request);
  static void Encode(const AppendRequest& request, Pending* pending);
  std::vector<Pending*> TakeGroup() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sets status and result of each; a failure of the transaction is the failure of all in it.
  absl::Status CommitTogether(absl::Span<Pending* const> group);
  void Commit(absl::Span<Pending* const> group);

  Database* const db_;
  absl::Mutex mutex_;
  std::deque<Pending*> queue_ ABSL_GUARDED_BY(mutex_);
  bool leader_at_work_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace alcove::store
