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
constexpr int64_t kPurgeRows = 2'000;       // of one transaction
constexpr int64_t kCompactBytes = 4 << 20;  // of one transaction, so that writers wait no longer than for it

}  // namespace

void ShardHost::Maintain() {
  RemoveOrphans(*catalog_->Current());
  RemoveFormerLogs();
  absl::Time retried = clock_->Now();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), kTick)) return;
    }
    for (const HostedShardPtr& hosted : List(0)) MaintainShard(*hosted);
    RemoveDropped();
    RetireFormer();
    if (clock_->Now() - retried < kRetry) continue;
    retried = clock_->Now();
    RemoveFormerLogs();
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
    if (sequence.ok() && options_.compact) {
      CompactShard(hosted, *sequence);
      if (now - hosted.purged_at_ >= options_.purge_interval) {
        hosted.purged_at_ = now;
        PurgeShard(hosted);
      }
    }
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
    const auto at = shards_.find(address);
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

void ShardHost::PurgeShard(HostedShard& hosted) {
  const store::ShardAddress& address = hosted.shard().options().address;
  const auto purge = [&]() -> absl::Status {
    ALCOVE_ASSIGN_OR_RETURN(const std::optional<store::Sequence> horizon,
                            log_->ReaderHorizon(address, clock_->Now() - options_.reader_retention));
    if (!horizon) return absl::OkStatus();
    // Each purge makes a process that is just rebuilding begin again: a few deletes are not worth it.
    ALCOVE_ASSIGN_OR_RETURN(const int64_t count, log_->CountTombstones(address, *horizon, options_.purge_records));
    if (count < options_.purge_records) return absl::OkStatus();
    bool done = false;
    while (!done) {
      {
        absl::ReaderMutexLock lock(&mutex_);
        if (stopping_) return absl::OkStatus();
      }
      ALCOVE_ASSIGN_OR_RETURN(done, log_->PurgeTombstones(address, *horizon, kPurgeRows));
    }
    LogInfo("deletes forgotten", {{"shard", store::ToString(address)}, {"up_to", *horizon}});
    return absl::OkStatus();
  };
  if (const absl::Status status = purge(); !status.ok() && !absl::IsNotFound(status)) {
    LogWarning("forgetting deletes of a log failed", {{"shard", store::ToString(address)}, {"error", status}});
  }
}

void ShardHost::RetireFormer() {
  const absl::Time now = clock_->Now();
  bool due = false;
  {
    absl::ReaderMutexLock lock(&mutex_);
    for (const auto& [address, hosted] : shards_) due = due || hosted->retire_at_ <= now;
  }
  if (due) Follow(catalog_->Current());
}

void ShardHost::RemoveFormerLogs() {
  if (!Holds(0)) return;
  const absl::Time now = clock_->Now();
  const CatalogSnapshotPtr snapshot = catalog_->Current();
  const auto heads = log_->AllHeads();
  if (!heads.ok()) return;
  std::map<std::pair<store::CollectionId, int64_t>, absl::Time> former;
  for (const store::ShardHead& head : *heads) {
    const auto at = snapshot->by_id.find(head.address.collection_id);
    if (at == snapshot->by_id.end() || head.address.epoch == at->second->placement.epoch) continue;
    if (at->second->next_placement && head.address.epoch >= at->second->next_placement->epoch) continue;
    const std::pair key(at->first, head.address.epoch);
    const auto seen = former_.find(key);
    // Other processes let go of their shards within the grace, too.
    former[key] = seen != former_.end() ? seen->second : now + 2 * options_.former_placement_grace;
  }
  former_ = std::move(former);
  for (const auto& [key, due] : former_) {
    if (due > now) continue;
    bool done = false;
    while (!done) {
      {
        absl::ReaderMutexLock lock(&mutex_);
        if (stopping_) return;
      }
      const absl::StatusOr<bool> dropped = log_->DropEpoch(key.first, key.second);
      if (!dropped.ok()) {
        // In use after all: the catalogue here was old.
        if (!absl::IsFailedPrecondition(dropped.status())) {
          LogWarning("removing the log of a former placement failed",
                     {{"collection", key.first}, {"epoch", key.second}, {"error", dropped.status()}});
        }
        break;
      }
      done = *dropped;
    }
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
    bool known = false;
    if (const auto at = snapshot.by_id.find(id); at != snapshot.by_id.end()) {
      int64_t epoch = 0;
      const size_t end = name.find('-', dash + 1);
      known = end == std::string::npos || name[dash + 1] != 'e' ||
              !absl::SimpleAtoi(name.substr(dash + 2, end - dash - 2), &epoch) ||
              epoch == at->second->placement.epoch ||
              (at->second->next_placement && epoch == at->second->next_placement->epoch);
    }
    if (!temporary && (known || !name.ends_with(".snapshot"))) continue;
    LogInfo("removing what a dropped collection or a crash left", {{"file", file.path().string()}});
    (void)RemoveFile(file.path().string());
  }
}

}  // namespace alcove::vector_search
