#include "services/vector-search/shard/shard_host.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <random>

#include <absl/strings/str_cat.h>

#include "libs/common/fs.h"
#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::vector_search {
class HostedShard::Sink final : public LogSink {
 public:
  Sink(Shard* shard, AppliedWaiters* waiters) : shard_(shard), waiters_(waiters) {}
  absl::Status Apply(absl::Span<const TailedOperation> operations) override { return shard_->Apply(operations); }
  absl::Status Reset() override {
    LogWarning("the log was compacted past this shard; it is rebuilt",
               {{"shard", store::ToString(shard_->options().address)}});
    ALCOVE_RETURN_IF_ERROR(shard_->Reset());
    waiters_->Restart();
    return absl::OkStatus();
  }

 private:
  Shard* const shard_;
  AppliedWaiters* const waiters_;
};

HostedShard::~HostedShard() {
  if (tailer_ != nullptr) tailer_->Stop();
}

HostedStats HostedShard::Stats() const {
  const ShardSize size = shard_->Size();
  HostedStats stats;
  stats.shard = shard_->options().address.shard;
  stats.epoch = shard_->options().address.epoch;
  stats.points = size.points;
  stats.memory_bytes = size.memory_bytes;
  stats.disk_bytes = size.disk_bytes;
  stats.applied = shard_->applied_sequence();
  stats.head = std::max(stats.applied, tailer_->head_sequence());
  return stats;
}

void HostedShard::WhenApplied(store::Sequence sequence, absl::Time deadline, AppliedWaiters::Callback callback) {
  if (sequence > shard_->applied_sequence()) Hint();
  waiters_->Wait(sequence, deadline, std::move(callback));
}

ShardHost::ShardHost(HostOptions options, Catalog* catalog, store::LogStore* log)
    : options_(std::move(options)),
      catalog_(catalog),
      log_(log),
      clock_(options_.clock == nullptr ? RealClock() : options_.clock) {
  if (options_.registry != nullptr) {
    snapshots_ = &options_.registry->AddCounter("alcove_vector_snapshots_total", "Shard snapshots written.");
    snapshot_failures_ =
        &options_.registry->AddCounter("alcove_vector_snapshot_failures_total", "Shard snapshots that failed.");
  }
}

ShardHost::~ShardHost() { Stop(); }

bool ShardHost::Holds(int32_t shard) const {
  return std::binary_search(options_.shards.begin(), options_.shards.end(), shard);
}

std::string ShardHost::SnapshotPath(const store::ShardAddress& address) const {
  return absl::StrCat(options_.data_dir, "/shards/", address.collection_id, "-e", address.epoch, "-s", address.shard,
                      ".snapshot");
}

absl::Status ShardHost::Start() {
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(options_.data_dir + "/shards", 0750));
  ALCOVE_RETURN_IF_ERROR(EnsureDirectory(VectorsDirectory(), 0750));
  ALCOVE_RETURN_IF_ERROR(LoadReaderId());
  ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
  catalog_->SetListener([this](const CatalogSnapshotPtr& snapshot) { Follow(snapshot); });
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [key, status] : broken_) {
      // A downgraded process must not run half blind; anything else concerns that shard alone and is tried again.
      if (absl::IsFailedPrecondition(status) || absl::IsResourceExhausted(status)) return status;
    }
  }
  maintenance_ = std::thread([this] { Maintain(); });
  expiry_ = std::thread([this] {
    absl::MutexLock lock(&mutex_);
    while (!clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping_), absl::Milliseconds(20))) {
      std::vector<HostedShardPtr> all;
      for (const auto& [key, hosted] : shards_) all.push_back(hosted);
      mutex_.Unlock();
      for (const HostedShardPtr& hosted : all) hosted->waiters_->Expire(clock_->Now());
      all.clear();
      mutex_.Lock();
    }
  });
  return absl::OkStatus();
}

void ShardHost::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  catalog_->SetListener(nullptr);
  if (maintenance_.joinable()) maintenance_.join();
  if (expiry_.joinable()) expiry_.join();
  absl::MutexLock open(&open_mutex_);
  for (const HostedShardPtr& hosted : List(0)) {
    Close(*hosted, absl::CancelledError("the process is stopping"));
    (void)Snapshot(*hosted);
    hosted->metrics_.clear();
  }
}

void ShardHost::Close(HostedShard& hosted, absl::Status why) {
  hosted.tailer_->Stop();
  hosted.waiters_->Fail(std::move(why));
}

void ShardHost::Follow(const CatalogSnapshotPtr& snapshot) {
  absl::MutexLock open(&open_mutex_);
  std::map<Key, CatalogEntryPtr> wanted;
  for (const auto& [id, entry] : snapshot->by_id) {
    if (!entry->usable.ok()) continue;
    for (const int32_t shard : options_.shards) {
      if (shard < entry->placement.shard_count) wanted[{id, entry->placement.epoch, shard}] = entry;
      if (entry->next_placement && shard < entry->next_placement->shard_count) {
        wanted[{id, entry->next_placement->epoch, shard}] = entry;
      }
    }
  }
  const absl::Time now = clock_->Now();
  for (const HostedShardPtr& hosted : List(0)) {
    const store::ShardAddress& address = hosted->shard().options().address;
    if (wanted.contains(address)) continue;
    absl::Status why = NotFound("collection", hosted->entry().name);
    if (const auto at = snapshot->by_id.find(address.collection_id); at != snapshot->by_id.end()) {
      why = absl::FailedPreconditionError(
          absl::StrCat(store::ToString(address), " is of a former placement: read the catalogue again"));
      if (address.epoch < at->second->placement.epoch) {
        absl::MutexLock lock(&mutex_);
        if (hosted->retire_at_ == absl::InfiniteFuture()) hosted->retire_at_ = now + options_.former_placement_grace;
        if (now < hosted->retire_at_ && !stopping_) continue;
      }
    }
    {
      absl::MutexLock lock(&mutex_);
      shards_.erase(address);
    }
    Close(*hosted, std::move(why));
    hosted->metrics_.clear();
    absl::MutexLock snapshot_lock(&hosted->snapshot_mutex_);
    hosted->closed_ = true;
    (void)RemoveFile(hosted->snapshot_path_);
  }
  for (const auto& [key, entry] : wanted) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      if (shards_.contains(key)) continue;
    }
    absl::StatusOr<HostedShardPtr> hosted = Open(entry, key);
    absl::MutexLock lock(&mutex_);
    if (hosted.ok()) {
      shards_[key] = *std::move(hosted);
      broken_.erase(key);
    } else if (!absl::IsNotFound(hosted.status())) {  // dropped while it was opened
      LogError("a shard cannot be opened",
               {{"collection", entry->name}, {"shard", key.shard}, {"error", hosted.status()}});
      broken_[key] = hosted.status();
    }
  }
  absl::MutexLock lock(&mutex_);
  for (auto at = broken_.begin(); at != broken_.end();)
    at = wanted.contains(at->first) ? std::next(at) : broken_.erase(at);
}

absl::StatusOr<std::unique_ptr<Shard>> ShardHost::LoadOrCreate(const ShardOptions& options, const std::string& path,
                                                               store::Sequence* loaded) {
  *loaded = 0;
  absl::StatusOr<std::unique_ptr<Shard>> shard = Shard::Load(options, path);
  if (absl::IsNotFound(shard.status())) return Shard::Create(options);
  if (shard.ok()) {
    ALCOVE_ASSIGN_OR_RETURN(const store::ShardHead head, log_->Head(options.address));
    if ((*shard)->applied_sequence() <= head.head_sequence) {
      *loaded = (*shard)->applied_sequence();
      return shard;
    }
    shard =
        absl::DataLossError(absl::StrCat("it contains sequence ", (*shard)->applied_sequence(), ", the log ends at ",
                                         head.head_sequence, ": the store was restored from an older copy"));
  }
  if (!absl::IsDataLoss(shard.status())) return shard;
  const std::string aside = absl::StrCat(path, ".damaged-", absl::ToUnixMillis(clock_->Now()));
  LogWarning("a snapshot cannot be used; the shard is rebuilt from the log",
             {{"shard", store::ToString(options.address)}, {"why", shard.status()}, {"moved_to", aside}});
  if (std::rename(path.c_str(), aside.c_str()) != 0) (void)RemoveFile(path);
  return Shard::Create(options);
}

absl::StatusOr<HostedShardPtr> ShardHost::Open(const CatalogEntryPtr& entry, const store::ShardAddress& address) {
  const absl::Time begin = clock_->Now();
  std::shared_ptr<HostedShard> hosted(new HostedShard());
  hosted->entry_ = entry;
  hosted->waiters_ = std::make_shared<AppliedWaiters>();
  ShardOptions options;
  options.address = address;
  options.identity = entry->Identity();
  options.config = entry->config;
  options.index_threads = options_.index_threads;
  options.vectors_directory = VectorsDirectory();
  options.registry = options_.registry;
  options.on_applied = [waiters = hosted->waiters_.get()](store::Sequence sequence) { waiters->Advance(sequence); };
  hosted->snapshot_path_ = SnapshotPath(options.address);
  store::Sequence loaded = 0;
  ALCOVE_ASSIGN_OR_RETURN(hosted->shard_, LoadOrCreate(options, hosted->snapshot_path_, &loaded));
  hosted->waiters_->Advance(loaded);
  {
    absl::MutexLock lock(&hosted->snapshot_mutex_);
    hosted->snapshot_sequence_ = loaded;
  }
  hosted->snapshot_unix_.store(absl::ToUnixSeconds(clock_->Now()), std::memory_order_relaxed);
  hosted->changed_at_ = clock_->Now();
  // Before the first read, so that nothing is forgotten while this process is on its way.
  ReportPosition(*hosted, loaded);
  hosted->sink_ = std::make_unique<HostedShard::Sink>(hosted->shard_.get(), hosted->waiters_.get());

  TailerOptions tail;
  tail.address = options.address;
  tail.applied_sequence = loaded;
  tail.clock = clock_;
  hosted->tailer_ = std::make_unique<LogTailer>(log_, hosted->sink_.get(), tail);
  ALCOVE_RETURN_IF_ERROR(hosted->tailer_->CatchUp());
  hosted->tailer_->Start();
  AddMetrics(*hosted);
  const store::Sequence applied = hosted->shard().applied_sequence();
  LogInfo("shard open", {{"collection", entry->name},
                         {"shard", store::ToString(options.address)},
                         {"points", hosted->shard().Size().points},
                         {"from_snapshot", loaded},
                         {"replayed", applied - loaded},
                         {"took", clock_->Now() - begin}});
  return hosted;
}

void ShardHost::AddMetrics(HostedShard& hosted) {
  if (options_.registry == nullptr) return;
  const MetricLabels labels = {{"tenant", hosted.entry().tenant},
                               {"collection", hosted.entry().name},
                               {"shard", absl::StrCat(hosted.shard().options().address.shard)},
                               {"epoch", absl::StrCat(hosted.shard().options().address.epoch)}};
  const auto add = [&](absl::string_view name, absl::string_view help, std::function<double()> read) {
    hosted.metrics_.push_back(options_.registry->AddGaugeCallback(name, help, labels, std::move(read)));
  };
  const HostedShard* const shard = &hosted;
  add("alcove_vector_points", "Points that can be found.",
      [shard] { return static_cast<double>(shard->shard().Size().points); });
  add("alcove_vector_memory_bytes", "Memory of indexes and payload.",
      [shard] { return static_cast<double>(shard->shard().Size().memory_bytes); });
  add("alcove_vector_disk_bytes", "Vectors that lie in files, which the system caches.",
      [shard] { return static_cast<double>(shard->shard().Size().disk_bytes); });
  add("alcove_vector_applied_sequence", "Sequence of the last log record that can be found.",
      [shard] { return static_cast<double>(shard->shard().applied_sequence()); });
  add("alcove_vector_log_lag_records", "Records in the log that cannot be found yet.", [shard] {
    return static_cast<double>(
        std::max<int64_t>(0, shard->tailer_->head_sequence() - shard->shard().applied_sequence()));
  });
  add("alcove_vector_snapshot_age_seconds", "Time since the last snapshot, or since opening.", [shard, clock = clock_] {
    return static_cast<double>(absl::ToUnixSeconds(clock->Now()) -
                               shard->snapshot_unix_.load(std::memory_order_relaxed));
  });
  add("alcove_vector_bad_records", "Log records that do not fit the collection; 0 unless something is broken.",
      [shard] { return static_cast<double>(shard->shard().bad_records()); });
}

std::vector<HostedShardPtr> ShardHost::List(store::CollectionId collection) const {
  std::vector<HostedShardPtr> out;
  absl::ReaderMutexLock lock(&mutex_);
  for (const auto& [key, hosted] : shards_) {
    if (collection == 0 || key.collection_id == collection) out.push_back(hosted);
  }
  return out;
}

std::string ShardHost::Trouble() const {
  absl::ReaderMutexLock lock(&mutex_);
  if (broken_.empty()) return "";
  const auto& [key, status] = *broken_.begin();
  return absl::StrCat(broken_.size(), " shards could not be opened; ", store::ToString(key), ": ", status.message());
}

absl::StatusOr<HostedShardPtr> ShardHost::Find(store::CollectionId collection, int32_t shard, int64_t epoch) {
  Key key{collection, epoch, shard};
  for (int attempt = 0;; ++attempt) {
    if (epoch == 0) {
      ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, catalog_->FindById(collection));
      key.epoch = entry->placement.epoch;
    }
    {
      absl::ReaderMutexLock lock(&mutex_);
      if (stopping_) return absl::UnavailableError("the process is stopping");
      if (const auto at = shards_.find(key); at != shards_.end()) return at->second;
      if (const auto at = broken_.find(key); at != broken_.end()) {
        return Annotate(at->second, absl::StrCat("shard ", shard));
      }
    }
    // A collection made a moment ago by another process: the look at the catalogue opens it.
    ALCOVE_ASSIGN_OR_RETURN(const CatalogEntryPtr entry, catalog_->FindById(collection));
    if (attempt == 1 || !Holds(shard)) {
      const bool current = key.epoch == entry->placement.epoch && shard < entry->placement.shard_count;
      const bool next = entry->next_placement && key.epoch == entry->next_placement->epoch &&
                        shard < entry->next_placement->shard_count;
      if (!Holds(shard) || (!current && !next)) {
        return absl::FailedPreconditionError(absl::StrCat("this process does not hold shard ", shard,
                                                          " of collection \"", entry->name, "\", placement epoch ",
                                                          key.epoch));
      }
    }
    if (attempt == 1) return absl::UnavailableError(absl::StrCat("shard ", shard, " is being opened"));
    ALCOVE_RETURN_IF_ERROR(catalog_->Refresh());
  }
}

absl::StatusOr<store::Sequence> ShardHost::Snapshot(HostedShard& hosted) {
  absl::MutexLock lock(&hosted.snapshot_mutex_);
  if (hosted.closed_ || hosted.shard().applied_sequence() == hosted.snapshot_sequence_) {
    return hosted.snapshot_sequence_;
  }
  const absl::Time begin = clock_->Now();
  const auto write = [&]() -> absl::StatusOr<store::Sequence> {
    ALCOVE_ASSIGN_OR_RETURN(SnapshotWriter writer, SnapshotWriter::Create(hosted.snapshot_path_));
    ALCOVE_ASSIGN_OR_RETURN(const store::Sequence sequence, hosted.shard().SaveTo(writer));
    ALCOVE_RETURN_IF_ERROR(writer.Commit());
    LogInfo("snapshot written", {{"shard", store::ToString(hosted.shard().options().address)},
                                 {"sequence", sequence},
                                 {"bytes", writer.bytes_written()},
                                 {"took", clock_->Now() - begin}});
    return sequence;
  };
  const absl::StatusOr<store::Sequence> sequence = write();
  // After a failure, too, the next attempt waits for its turn.
  hosted.snapshot_unix_.store(absl::ToUnixSeconds(clock_->Now()), std::memory_order_relaxed);
  if (sequence.ok()) {
    hosted.snapshot_sequence_ = *sequence;
    ReportPosition(hosted, *sequence);
    if (snapshots_ != nullptr) snapshots_->Increment();
    return sequence;
  }
  if (snapshot_failures_ != nullptr) snapshot_failures_->Increment();
  LogWarning("a snapshot failed; a restart would replay more of the log",
             {{"shard", store::ToString(hosted.shard().options().address)}, {"error", sequence.status()}});
  return sequence;
}

absl::Status ShardHost::LoadReaderId() {
  const std::string path = options_.data_dir + "/reader_id";
  absl::StatusOr<std::string> text = ReadFile(path, 64);
  if (text.ok() && text->size() == 32) {
    reader_id_ = *std::move(text);
    return absl::OkStatus();
  }
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) absl::StrAppend(&id, absl::Hex(random(), absl::kZeroPad8));
  ALCOVE_RETURN_IF_ERROR(WriteFileAtomically(path, id, 0640));
  reader_id_ = std::move(id);
  return absl::OkStatus();
}

void ShardHost::ReportPosition(const HostedShard& hosted, store::Sequence sequence) {
  const absl::Status status = log_->ReportReader(hosted.shard().options().address, reader_id_, sequence);
  // What is not known of costs a rebuild at worst.
  if (!status.ok() && !absl::IsNotFound(status)) {
    LogWarning("cannot tell the store how far a shard has read", {{"error", status}});
  }
}

absl::Status ShardHost::SnapshotAll() {
  absl::Status result;
  for (const HostedShardPtr& hosted : List(0)) result.Update(Snapshot(*hosted).status());
  return result;
}

}  // namespace alcove::vector_search
