// The shards a process holds: opens them as collections appear, follows their logs, snapshots and compacts in the
// background, and lets go of them when collections are dropped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "libs/common/metrics.h"
#include "libs/store/log_store.h"
#include "services/vector-search/catalog/catalog.h"
#include "services/vector-search/log/log_tailer.h"
#include "services/vector-search/shard/applied_waiters.h"
#include "services/vector-search/shard/shard.h"

namespace alcove::vector_search {

struct HostOptions {
  std::vector<int32_t> shards;  // shard numbers held, ascending
  std::string data_dir;         // snapshots lie in data_dir/shards, vectors kept on disk in data_dir/vectors
  size_t index_threads = 1;     // for inserting into one shard
  absl::Duration snapshot_interval = absl::Minutes(5);  // when anything changed since the last one
  int64_t snapshot_records = 100'000;                   // or as soon as so many records were applied
  bool compact = true;                                  // fold replaced records of the log together
  // Deletes are forgotten once every process that took a snapshot within this time has them in its snapshot; one that
  // was away longer rebuilds its shards from the log.
  absl::Duration reader_retention = absl::Hours(24);
  int64_t purge_records = 10'000;                    // forgotten when there are so many, and
  absl::Duration purge_interval = absl::Minutes(5);  // no more often than this
  absl::Duration former_placement_grace = absl::Seconds(30);
  absl::Duration optimize_after = absl::Seconds(30);  // tidy indexes when nothing was written for so long
  Registry* registry = nullptr;                       // null: no metrics
  Clock* clock = nullptr;                             // null: the real one
};

struct HostedStats {
  int32_t shard = 0;
  int64_t points = 0;
  int64_t memory_bytes = 0;
  store::Sequence applied = 0;
  store::Sequence head = 0;  // newest in the log, as far as seen
  int64_t epoch = 1;         // of the placement the shard belongs to
  int64_t disk_bytes = 0;    // of vectors in files
};

// One shard with what keeps it alive. Thread-safe.
class HostedShard {
 public:
  ~HostedShard();
  const Shard& shard() const { return *shard_; }
  const CatalogEntry& entry() const { return *entry_; }
  HostedStats Stats() const;
  // The log has news.
  void Hint() { tailer_->Hint(); }
  // See AppliedWaiters::Wait.
  void WhenApplied(store::Sequence sequence, absl::Time deadline, AppliedWaiters::Callback callback);
  // Why the shard no longer follows its log; OK while it does.
  absl::Status TailStatus() const { return tailer_->status(); }

 private:
  friend class ShardHost;
  // The tailer's sink: the shard, and the waiters told of a Reset.
  class Sink;
  HostedShard() = default;

  CatalogEntryPtr entry_;
  std::shared_ptr<AppliedWaiters> waiters_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<LogTailer> tailer_;
  std::vector<Registry::CallbackHandle> metrics_;
  std::string snapshot_path_;

  absl::Mutex snapshot_mutex_;  // one snapshot at a time, none after closing
  bool closed_ ABSL_GUARDED_BY(snapshot_mutex_) = false;
  store::Sequence snapshot_sequence_ ABSL_GUARDED_BY(snapshot_mutex_) = 0;

  // Maintenance thread only, after opening.
  uint64_t seen_changes_ = 0, optimized_changes_ = 0;
  absl::Time changed_at_;
  absl::Time tail_failed_at_ = absl::InfinitePast();
  absl::Time purged_at_ = absl::InfinitePast();
  // When a shard of a former placement is let go: searches that began before the flip end first.
  absl::Time retire_at_ = absl::InfiniteFuture();
  std::atomic<int64_t> snapshot_unix_{0};
};
using HostedShardPtr = std::shared_ptr<HostedShard>;

// Thread-safe.
class ShardHost {
 public:
  // `catalog` and `log` outlive the host.
  ShardHost(HostOptions options, Catalog* catalog, store::LogStore* log);
  ~ShardHost();

  // Opens the shards of every collection there is and catches up with their logs; then follows the catalogue. Blocking,
  // for as long as loading takes. FAILED_PRECONDITION: a snapshot or log of a newer version. RESOURCE_EXHAUSTED:
  // memory.
  absl::Status Start();
  // Stops following and writes the last snapshots. Waiters get CANCELLED.
  void Stop();

  // `epoch` 0 stands for the placement in force. NOT_FOUND: the collection is gone. FAILED_PRECONDITION: this process
  // does not hold the shard, or the placement is of the past. UNAVAILABLE: it could not be opened (and will be tried
  // again).
  absl::StatusOr<HostedShardPtr> Find(store::CollectionId collection, int32_t shard, int64_t epoch = 0);
  // All held shards of a collection, or of all collections for id 0.
  std::vector<HostedShardPtr> List(store::CollectionId collection) const;
  bool Holds(int32_t shard) const;
  // Which shards could not be opened, and why; empty when all could. Quick.
  std::string Trouble() const;
  const std::vector<int32_t>& shards() const { return options_.shards; }

  // Takes a snapshot of every shard that changed since its last one: what the maintenance thread does when it is due.
  absl::Status SnapshotAll();

 private:
  using Key = store::ShardAddress;

  void Follow(const CatalogSnapshotPtr& snapshot);
  absl::StatusOr<HostedShardPtr> Open(const CatalogEntryPtr& entry, const store::ShardAddress& address);
  absl::StatusOr<std::unique_ptr<Shard>> LoadOrCreate(const ShardOptions& options, const std::string& path,
                                                      store::Sequence* loaded);
  void AddMetrics(HostedShard& hosted);
  void Close(HostedShard& hosted, absl::Status why);
  // Writes a snapshot if there is anything new; returns the sequence the newest one contains.
  absl::StatusOr<store::Sequence> Snapshot(HostedShard& hosted);
  void Restart(HostedShard& hosted);
  std::string SnapshotPath(const store::ShardAddress& address) const;
  std::string VectorsDirectory() const { return options_.data_dir + "/vectors"; }
  void RemoveOrphans(const CatalogSnapshot& snapshot);

  void Maintain();
  void MaintainShard(HostedShard& hosted);
  void CompactShard(HostedShard& hosted, store::Sequence up_to);
  void PurgeShard(HostedShard& hosted);
  void ReportPosition(const HostedShard& hosted, store::Sequence sequence);
  void RemoveDropped();
  // Lets go of shards of former placements whose time has come.
  void RetireFormer();
  void RemoveFormerLogs();
  absl::Status LoadReaderId();

  const HostOptions options_;
  Catalog* const catalog_;
  store::LogStore* const log_;
  Clock* const clock_;

  absl::Mutex open_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // one opening or closing at a time
  mutable absl::Mutex mutex_;
  std::map<Key, HostedShardPtr> shards_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, absl::Status> broken_ ABSL_GUARDED_BY(mutex_);  // could not be opened
  // Epochs whose logs nobody needs any more, and from when on they may go. Maintenance thread only.
  std::map<std::pair<store::CollectionId, int64_t>, absl::Time> former_;
  std::string reader_id_;  // this process among the readers of a log; lies in data_dir
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread maintenance_;
  std::thread expiry_;
  Counter* snapshots_ = nullptr;
  Counter* snapshot_failures_ = nullptr;
};

}  // namespace alcove::vector_search
