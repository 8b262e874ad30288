#include "services/vector-search/log/log_tailer.h"

#include <algorithm>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/common/log.h"
#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

// About a third of the share of a thread that answers, where both want a processor.
constexpr int kNice = 5;

// Worth trying again: the store is away, locked or full, not damaged.
bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

LogTailer::LogTailer(store::LogStore* log, LogSink* sink, TailerOptions options)
    : log_(log),
      sink_(sink),
      options_(std::move(options)),
      clock_(options_.clock == nullptr ? RealClock() : options_.clock),
      applied_(options_.applied_sequence),
      head_(options_.applied_sequence) {
  position_.after_sequence = options_.applied_sequence;
}

LogTailer::~LogTailer() { Stop(); }

absl::Status LogTailer::CatchUp() {
  while (true) {
    absl::StatusOr<bool> at_end = Step();
    if (!at_end.ok()) {
      SetStatus(at_end.status());
      return at_end.status();
    }
    if (*at_end) {
      SetStatus(absl::OkStatus());
      return absl::OkStatus();
    }
  }
}

// Reads and applies one page; true when it reached the head.
absl::StatusOr<bool> LogTailer::Step() {
  absl::StatusOr<store::LogPage> page = log_->ReadFrom(options_.address, position_, options_.read_bytes);
  if (absl::IsOutOfRange(page.status())) {
    LogWarning("rebuilding a shard: its log was compacted past what it had seen",
               {{"shard", store::ToString(options_.address)}, {"applied", position_.after_sequence}});
    ALCOVE_RETURN_IF_ERROR(sink_->Reset());
    position_ = {};
    Publish(0);
    return false;
  }
  if (!page.ok()) return page.status();
  const store::ShardHead& head = page->head();
  if (position_.after_sequence == 0) position_.tombstone_floor = head.tombstone_floor;

  batch_.clear();
  batch_.reserve(page->records().size());
  store::Sequence previous = position_.after_sequence;
  for (const store::StoredRecord& record : page->records()) {
    // Only the compacted part may have holes.
    const store::Sequence expected = std::max(previous, head.base_sequence) + 1;
    if (record.sequence <= previous || (record.sequence > head.base_sequence && record.sequence != expected)) {
      return absl::DataLossError(absl::StrCat("log of ", store::ToString(options_.address), ": sequence ",
                                              record.sequence, " follows ", previous, ", expected ", expected));
    }
    absl::StatusOr<PointOperation> operation = DecodeOperation(record.kind, record.key, record.data);
    if (!operation.ok()) {
      return Annotate(operation.status(),
                      absl::StrCat("log of ", store::ToString(options_.address), ", sequence ", record.sequence));
    }
    batch_.push_back({record.sequence, *std::move(operation)});
    previous = record.sequence;
  }
  if (!batch_.empty()) {
    ALCOVE_RETURN_IF_ERROR(
        Annotate(sink_->Apply(batch_), absl::StrCat("applying the log of ", store::ToString(options_.address))));
    batch_.clear();
  }
  // The last records before the head may have been compacted away: the end is the head, whatever the last record was.
  position_.after_sequence = page->at_end() ? head.head_sequence : previous;
  head_.store(head.head_sequence, std::memory_order_release);
  Publish(position_.after_sequence);
  return page->at_end();
}

void LogTailer::Publish(store::Sequence applied) {
  absl::MutexLock lock(&mutex_);  // wakes WaitApplied
  applied_.store(applied, std::memory_order_release);
}

void LogTailer::Start() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = false;
    status_ = absl::OkStatus();
  }
  thread_ = std::thread([this] { Run(); });
}

void LogTailer::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  log_->WakeWaiters();
  thread_.join();
}

void LogTailer::Run() {
  // Where processors are short, accepting writes and answering searches goes before indexing what was accepted. Threads
  // that help with it inherit this.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
  absl::Duration retry = options_.first_retry;
  while (!stopping_) {
    absl::Status status = CatchUp();
    if (status.ok()) {
      retry = options_.first_retry;
      const store::ShardPosition position{options_.address, position_.after_sequence};
      status = log_->WaitForAppend(absl::MakeConstSpan(&position, 1), clock_->Now() + options_.idle_wait, &stopping_)
                   .status();
      if (status.ok()) continue;
      SetStatus(status);
    }
    if (!IsTransient(status)) {
      LogError("a shard stopped following its log", {{"shard", store::ToString(options_.address)}, {"error", status}});
      return;
    }
    LogWarning("a shard waits for the store", {{"shard", store::ToString(options_.address)}, {"error", status}});
    absl::MutexLock lock(&mutex_);
    auto stopping = [this] { return stopping_.load(); };
    clock_->AwaitWithTimeout(&mutex_, absl::Condition(&stopping), retry);
    retry = std::min(retry * 2, options_.max_retry);
  }
}

absl::Status LogTailer::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void LogTailer::SetStatus(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  status_ = status;
}

absl::Status LogTailer::WaitApplied(store::Sequence sequence, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  auto settled = [this, sequence]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return applied_sequence() >= sequence || stopping_ || (!status_.ok() && !IsTransient(status_));
  };
  clock_->AwaitWithDeadline(&mutex_, absl::Condition(&settled), deadline);
  if (applied_sequence() >= sequence) return absl::OkStatus();
  if (!status_.ok() && !IsTransient(status_)) return status_;
  if (stopping_) return absl::CancelledError(absl::StrCat(store::ToString(options_.address), " is shutting down"));
  if (!status_.ok()) return status_;
  return absl::DeadlineExceededError(absl::StrCat(store::ToString(options_.address), " has applied sequence ",
                                                  applied_sequence(), " of the wanted ", sequence));
}

}  // namespace alcove::vector_search
