#pragma once

// The durable write log: one totally ordered sequence of records per shard. This log is the database; indexes in
// memory and snapshots on disk are derived from it and can always be built again from it.
//
// Invariants:
//  1. Append is one transaction over all shards of the batch: all records are stored or none.
//  2. A shard's sequence numbers are taken under the lock of its head row. Whoever sees sequence n committed sees
//     every smaller one that still exists; there are no holes above base_sequence.
//  3. The records a reader gets from sequence 0 to the head reproduce the state of every key, however much has been
//     compacted: compaction only drops what a later record of the same key makes redundant.
//
// Layout. New records land in the *tail*: chunks of consecutive records, checksummed. Compact() moves the oldest
// chunks into the *base*: one record per key, the newest, at its own sequence number. Reading walks base then tail in
// ascending order, so a reader needs no knowledge of the border. Sequences at or below base_sequence may have holes.
// A delete record (tombstone) stays in the base until PurgeTombstones drops it, which raises tombstone_floor: a
// reader that stands between 0 and the floor might have missed a delete and is told to start again (OUT_OF_RANGE).

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/store/types.h"

namespace alcove::store {

class Database;

// What a record does to the earlier records of its key. The store looks at nothing else.
enum class RecordKind : uint8_t {
  kPut = 1,     // the whole state of the key: earlier records of it are redundant
  kDelete = 2,  // the key is gone
  kMerge = 3,   // a change that needs the earlier records; Compact folds it into them
};

struct LogRecord {
  RecordKind kind = RecordKind::kPut;
  absl::string_view key;   // 1..1024 bytes
  absl::string_view data;  // 0..64 MiB, opaque
};

struct ShardBatch {
  int32_t shard = 0;
  std::vector<LogRecord> records;  // in the order they take effect; views must live until Append returns
};

struct AppendRequest {
  CollectionId collection_id = 0;
  int64_t epoch = 0;
  std::vector<ShardBatch> shards;  // each shard at most once
  // When set (1..128 bytes), a repetition with the same key and content within 24 hours stores nothing and answers
  // the first call's sequences; with another content it is FAILED_PRECONDITION.
  std::string idempotency_key;
};

struct ShardSequence {
  int32_t shard = 0;
  Sequence last_sequence = 0;

  friend bool operator==(const ShardSequence&, const ShardSequence&) = default;
};

struct AppendResult {
  std::vector<ShardSequence> shards;  // in the order of the request; empty when replayed from a former placement
  bool replayed = false;              // answered from an earlier call with the same idempotency key
};

struct StoredRecord {
  Sequence sequence = 0;
  RecordKind kind = RecordKind::kPut;
  absl::string_view key;
  absl::string_view data;
};

struct ShardHead {
  ShardAddress address;
  Sequence head_sequence = 0;    // last committed record, 0 for an empty log
  Sequence base_sequence = 0;    // everything up to here is compacted
  Sequence tombstone_floor = 0;  // deletes up to here are gone
};

// Records of one read, ascending. The views point into buffers the page owns: they live as long as the page.
class LogPage {
 public:
  LogPage() = default;
  LogPage(LogPage&&) = default;
  LogPage& operator=(LogPage&&) = default;

  const std::vector<StoredRecord>& records() const { return records_; }
  // The head as of the same snapshot.
  const ShardHead& head() const { return head_; }
  // True when nothing follows the last record up to head().head_sequence.
  bool at_end() const { return at_end_; }

 private:
  friend class LogStore;
  std::vector<StoredRecord> records_;
  std::vector<std::unique_ptr<std::string>> buffers_;
  ShardHead head_;
  bool at_end_ = false;
};

struct ReadPosition {
  Sequence after_sequence = 0;  // records with a greater sequence are wanted
  // tombstone_floor of the head when this reader began at 0; nullopt on the first read. A page whose head carries
  // another floor, while after_sequence is below it, is answered OUT_OF_RANGE: begin again from 0 with nothing.
  std::optional<Sequence> tombstone_floor;
};

struct ShardPosition {
  ShardAddress address;
  Sequence after_sequence = 0;
};

enum class WaitResult {
  kNews,      // at least one of the shards has a record after the given position
  kDeadline,  // nothing came in time
  kWoken,     // WakeWaiters() was called
};

// Folds a kMerge record into what is known of its key. `base` is null when the key does not exist (never written or
// deleted). Returns the data of the put that replaces both, or nullopt when the key still does not exist.
using MergeFunction = std::function<absl::StatusOr<std::optional<std::string>>(
    absl::string_view key, const absl::string_view* base, absl::string_view change)>;

struct CompactResult {
  Sequence base_sequence = 0;
  bool done = false;  // base_sequence reached the wanted sequence
};

// The shard of `shard_count` a key belongs to.
using PlacementFunction = std::function<int32_t(absl::string_view key, int32_t shard_count)>;

struct ReshardProgress {
  Sequence copied = 0;     // sum over the shards of the sequence up to which they are copied
  Sequence head = 0;       // sum over the shards of their heads
  bool committed = false;  // the next placement is in force
};

// Thread-safe.
class LogStore {
 public:
  explicit LogStore(Database* db);
  ~LogStore();
  LogStore(const LogStore&) = delete;
  LogStore& operator=(const LogStore&) = delete;

  // Appends a batch to the shards of one collection in one transaction; OK means committed. Concurrent calls of one
  // process share a transaction (group commit), each batch staying atomic by itself: one that fails leaves the others
  // unharmed. NOT_FOUND: unknown or dropped collection. FAILED_PRECONDITION: the epoch is not the placement's: read
  // the catalog again. INVALID_ARGUMENT names what is out of bounds.
  absl::StatusOr<AppendResult> Append(const AppendRequest& request);

  // Reads on from `position`: at least one record unless at the end, then about `max_bytes` of keys and data.
  // DATA_LOSS names the shard and the sequence at which the log is damaged or has a hole. NOT_FOUND: no such log.
  absl::StatusOr<LogPage> ReadFrom(const ShardAddress& address, const ReadPosition& position, int64_t max_bytes);

  absl::StatusOr<ShardHead> Head(const ShardAddress& address);
  // Heads of every shard log of one collection (all epochs), or of all collections, ordered by address.
  absl::StatusOr<std::vector<ShardHead>> Heads(CollectionId collection_id);
  absl::StatusOr<std::vector<ShardHead>> AllHeads();

  // Blocks until one of the positions has news, WakeWaiters() is called, or the deadline (on the store's clock)
  // passes. Appends of this process wake it at once; those of others by LISTEN/NOTIFY or polling (see StoreOptions).
  // `cancelled`, when given, is looked at on entry and whenever it wakes: who sets it and then calls WakeWaiters() is
  // sure to be noticed, even by a call that was only about to begin.
  absl::StatusOr<WaitResult> WaitForAppend(absl::Span<const ShardPosition> positions, absl::Time deadline,
                                           const std::atomic<bool>* cancelled = nullptr);
  // Makes waiters of this process look at the database now: for a hint from another process that it has committed.
  void HintAppended();
  // Makes every WaitForAppend under way return kWoken: for shutdown.
  void WakeWaiters();

  // Moves up to `max_bytes` of the oldest tail chunks with records at or below `up_to` into the base; call until
  // `done`. Each call is one transaction; appends of other shards go on meanwhile. Does nothing while a backup reads
  // the log. `merge` may be null when the
  // shard holds no kMerge records, else INVALID_ARGUMENT. Chunks are moved whole or not at all.
  absl::StatusOr<CompactResult> Compact(const ShardAddress& address, Sequence up_to, int64_t max_bytes,
                                        const MergeFunction& merge);

  // Forgets up to `max_rows` deletes at or below min(up_to, base_sequence), oldest first, and raises tombstone_floor as
  // far; true when nothing is left to do now. Only call with a sequence all snapshots in use have passed
  // (ReaderHorizon): a reader that stands below must rebuild from the start. Does nothing while a resharding copies the
  // log from below.
  absl::StatusOr<bool> PurgeTombstones(const ShardAddress& address, Sequence up_to, int64_t max_rows);
  // How many deletes a purge up to there would forget, counted no further than `limit`.
  absl::StatusOr<int64_t> CountTombstones(const ShardAddress& address, Sequence up_to, int64_t limit);

  // Notes that `reader` (a process, 1..255 bytes) would read on from `sequence` if it started again now.
  absl::Status ReportReader(const ShardAddress& address, absl::string_view reader, Sequence sequence);
  // The smallest sequence reported by readers that reported since; nullopt when there are none.
  absl::StatusOr<std::optional<Sequence>> ReaderHorizon(const ShardAddress& address, absl::Time since);

  // Copies about `max_bytes` more records of the collection's shards into the logs of its next placement, in one
  // transaction that also notes how far it got: however often and by however many processes it is called, and
  // whenever they are killed, each record is copied once and in order. FAILED_PRECONDITION when the collection is not
  // being resharded.
  absl::StatusOr<ReshardProgress> CopyForResharding(CollectionId collection_id, int64_t max_bytes,
                                                    const PlacementFunction& placement);
  // As above for every shard; and when nothing is left to copy then, the same transaction makes the next placement the
  // placement, notes the heads of its logs as floors and sets `committed`. Writes wait for it, and those of the former
  // epoch are refused from then on, so that none is lost.
  absl::StatusOr<ReshardProgress> CommitResharding(CollectionId collection_id, int64_t max_bytes,
                                                   const PlacementFunction& placement);
  absl::StatusOr<ReshardProgress> GetReshardProgress(CollectionId collection_id);

  // Removes the log of a collection in state kDropping, a bounded piece a call; true when nothing is left and the
  // catalog row is gone too. FAILED_PRECONDITION when the collection is active.
  absl::StatusOr<bool> DropCollection(CollectionId collection_id);
  // The same for one epoch's logs after a resharding was committed (the former epoch) or aborted (the next one).
  // FAILED_PRECONDITION when the epoch is in use.
  absl::StatusOr<bool> DropEpoch(CollectionId collection_id, int64_t epoch);

 private:
  class GroupCommit;
  class Reader;
  class Resharding;
  Database* const db_;
  std::unique_ptr<GroupCommit> group_;
};

}  // namespace alcove::store
