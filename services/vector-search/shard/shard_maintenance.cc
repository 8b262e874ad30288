// What a host does in the background: snapshots, compaction, tidying, retries and removal of what was dropped.
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"
#include "services/vector-search/shard/shard_host.h"

namespace alcove::vector_search {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kRetry = absl::Seconds(10);
constexpr int64_t kCompactBytes = 4 << 20;  // of one transaction, so that writers wait no longer than for it

}  // namespace

void ShardHost::Maintain() {
  RemoveOrphans(*catalog_->Current());
  absl::Time retried = clock_->Now();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), kTick)) return;
    }
    for (const HostedShardPtr& hosted : List(0)) MaintainShard(*hosted);
    RemoveDropped();
    if (clock_->Now() - retried < kRetry) continue;
    retried = clock_->Now();
    bool broken;
    {
      absl::ReaderMutexLock lock(&mutex_);
      broken = !broken_.empty();
    }
    if (broken) Follow(catalog_->Current());
  }
}

void ShardHost::MaintainShard(HostedShard& hosted) {
  const absl::Time now = clock_->Now();
  const absl::Status tail = hosted.TailStatus();
  // UNAVAILABLE means that the tailer goes on by itself when the store is back.
  if (!tail.ok() && !absl::IsUnavailable(tail) && !absl::IsCancelled(tail) && now - hosted.tail_failed_at_ >= kRetry) {
    LogError("a shard stopped following its log; trying again",
             {{"shard", store::ToString(hosted.shard().options().address)}, {"error", tail}});
    hosted.tail_failed_at_ = now;
    Restart(hosted);
  }

  const absl::Duration age = now - absl::FromUnixSeconds(hosted.snapshot_unix_.load(std::memory_order_relaxed));
  store::Sequence behind;
  {
    absl::MutexLock lock(&hosted.snapshot_mutex_);
    behind = hosted.shard().applied_sequence() - hosted.snapshot_sequence_;
  }
  if (behind != 0 && (age >= options_.snapshot_interval || behind >= options_.snapshot_records)) {
    const absl::StatusOr<store::Sequence> sequence = Snapshot(hosted);
    if (sequence.ok() && options_.compact) CompactShard(hosted, *sequence);
  }

  const uint64_t changes = hosted.shard().changes();
  if (changes != hosted.seen_changes_) {
    hosted.seen_changes_ = changes;
    hosted.changed_at_ = now;
  }
  const auto points = static_cast<uint64_t>(hosted.shard().Size().points);
  if (changes - hosted.optimized_changes_ > 1000 + points / 5 && now - hosted.changed_at_ >= options_.optimize_after) {
    if (const absl::Status status = hosted.shard_->Optimize(); !status.ok()) {
      LogWarning("tidying a shard failed", {{"error", status}});
    }
    hosted.optimized_changes_ = changes;
  }
}

void ShardHost::Restart(HostedShard& hosted) {
  // Holding open_mutex_, nobody closes the shard meanwhile.
  absl::MutexLock open(&open_mutex_);
  {
    absl::ReaderMutexLock lock(&mutex_);
    const store::ShardAddress& address = hosted.shard().options().address;
    const auto at = shards_.find({address.collection_id, address.shard});
    if (stopping_ || at == shards_.end() || at->second.get() != &hosted) return;
  }
  hosted.tailer_->Stop();
  hosted.tailer_->Start();
}

void ShardHost::CompactShard(HostedShard& hosted, store::Sequence up_to) {
  const store::ShardAddress& address = hosted.shard().options().address;
  const auto head = log_->Head(address);
  if (!head.ok()) return;
  // Folding pays when much of the tail replaces or deletes what came before.
  const int64_t tail = head->head_sequence - head->base_sequence;
  if (tail < 2 * hosted.shard().Size().points + 10'000) return;
  const store::MergeFunction merge = PointMerge(MergePayload);
  while (true) {
    {
      absl::ReaderMutexLock lock(&mutex_);
      if (stopping_) return;
    }
    const auto result = log_->Compact(address, up_to, kCompactBytes, merge);
    if (!result.ok()) {
      if (!absl::IsNotFound(result.status())) {
        LogWarning("compacting a log failed", {{"shard", store::ToString(address)}, {"error", result.status()}});
      }
      return;
    }
    if (result->done) return;
  }
}

void ShardHost::RemoveDropped() {
  // One process is enough: the one that holds the first shard.
  if (!Holds(0)) return;
  const CatalogSnapshotPtr snapshot = catalog_->Current();
  for (const store::CollectionId id : snapshot->dropping) {
    while (true) {
      {
        absl::ReaderMutexLock lock(&mutex_);
        if (stopping_) return;
      }
      const absl::StatusOr<bool> done = log_->DropCollection(id);
      if (!done.ok() && !absl::IsNotFound(done.status())) {
        LogWarning("removing the log of a dropped collection failed", {{"id", id}, {"error", done.status()}});
      }
      if (!done.ok() || *done) break;
    }
  }
}

void ShardHost::RemoveOrphans(const CatalogSnapshot& snapshot) {
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(options_.data_dir + "/shards", error)) {
    const std::string name = file.path().filename().string();
    const size_t dash = name.find('-');
    int64_t id = 0;
    if (dash == std::string::npos || !absl::SimpleAtoi(name.substr(0, dash), &id)) continue;
    const bool temporary = name.ends_with(".tmp");
    if (!temporary && (snapshot.by_id.contains(id) || !name.ends_with(".snapshot"))) continue;
    LogInfo("removing what a dropped collection or a crash left", {{"file", file.path().string()}});
    (void)RemoveFile(file.path().string());
  }
}

}  // namespace alcove::vector_search
