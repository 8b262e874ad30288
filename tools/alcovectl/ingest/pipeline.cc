#include "tools/alcovectl/ingest/pipeline.h"

#include <algorithm>
#include <deque>
#include <map>
#include <thread>

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

namespace alcove::ctl {
namespace {

constexpr absl::Duration kReportEvery = absl::Milliseconds(100);

struct Batch {
  int64_t first = 0;  // position of its first document in the source
  int64_t end = 0;    // position behind its last document
  std::vector<SourceDocument> documents;
};

bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kAborted || code == absl::StatusCode::kDeadlineExceeded;
}

// Batches on their way, shared by the reader and the senders.
class Flight {
 public:
  Flight(const PipelineOptions& options, const BatchSender& send)
      : options_(options), send_(send), durable_(options.skip) {
    for (size_t i = 0; i < std::max<size_t>(options.in_flight, 1); ++i) threads_.emplace_back([this] { Work(); });
  }

  ~Flight() { Finish(); }

  // Waits for room. False once a batch has failed.
  bool Push(Batch batch) {
    absl::MutexLock lock(&mutex_);
    const auto has_room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !error_.ok() || queue_.size() < options_.in_flight;
    };
    mutex_.Await(absl::Condition(&has_room));
    if (!error_.ok()) return false;
    queue_.push_back(std::move(batch));
    return true;
  }

  // Waits until everything pushed is sent, or until `deadline`; true when it is.
  bool WaitUntilEmpty(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    const auto is_idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return queue_.empty() && busy_ == 0; };
    return mutex_.AwaitWithDeadline(absl::Condition(&is_idle), deadline);
  }

  // Documents the source could not give still count as dealt with.
  void MarkDone(int64_t first, int64_t end) {
    absl::MutexLock lock(&mutex_);
    Settle(first, end);
  }

  void Report(PipelineProgress* progress) {
    absl::MutexLock lock(&mutex_);
    progress->stored = stored_;
    progress->durable = durable_;
  }

  std::vector<absl::Status> TakeRejections() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(rejections_, {});
  }

  absl::Status error() {
    absl::MutexLock lock(&mutex_);
    return error_;
  }

  void Finish() {
    {
      absl::MutexLock lock(&mutex_);
      closed_ = true;
    }
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  void Work() {
    for (;;) {
      Batch batch;
      {
        absl::MutexLock lock(&mutex_);
        const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return closed_ || !error_.ok() || !queue_.empty();
        };
        mutex_.Await(absl::Condition(&has_work));
        if (!error_.ok()) {
          queue_.clear();
          return;
        }
        if (queue_.empty()) return;
        batch = std::move(queue_.front());
        queue_.pop_front();
        ++busy_;
      }
      Deliver(batch);
      absl::MutexLock lock(&mutex_);
      --busy_;
    }
  }

  void Deliver(const Batch& batch) {
    absl::Status status = SendWithRetries(batch.documents);
    int64_t stored = static_cast<int64_t>(batch.documents.size());
    std::vector<absl::Status> refused;
    if (status.code() == absl::StatusCode::kInvalidArgument && options_.skip_bad) {
      // One bad document fails its whole batch, so each is tried alone.
      stored = 0;
      status = absl::OkStatus();
      for (const SourceDocument& document : batch.documents) {
        const absl::Status alone = SendWithRetries({document});
        if (alone.ok()) {
          ++stored;
        } else if (alone.code() == absl::StatusCode::kInvalidArgument) {
          refused.push_back(
              absl::InvalidArgumentError(absl::StrCat("document \"", document.id, "\": ", alone.message())));
        } else {
          status = alone;
          break;
        }
      }
    }
    absl::MutexLock lock(&mutex_);
    for (absl::Status& one : refused) rejections_.push_back(std::move(one));
    stored_ += stored;
    if (status.ok()) {
      Settle(batch.first, batch.end);
    } else if (error_.ok()) {
      error_ = status;
    }
  }

  absl::Status SendWithRetries(const std::vector<SourceDocument>& documents) {
    absl::BitGen random;
    absl::Duration wait = options_.retry_base;
    for (int attempt = 0;; ++attempt) {
      const absl::Status status = send_(documents);
      if (status.ok() || !MayPass(status.code()) || attempt >= options_.retries) return status;
      absl::SleepFor(wait * absl::Uniform(random, 0.5, 1.0));
      wait = std::min(wait * 2, absl::Seconds(10));
    }
  }

  void Settle(int64_t first, int64_t end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    done_[first] = end;
    while (!done_.empty() && done_.begin()->first <= durable_) {
      durable_ = std::max(durable_, done_.begin()->second);
      done_.erase(done_.begin());
    }
  }

  const PipelineOptions& options_;
  const BatchSender& send_;
  absl::Mutex mutex_;
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mutex_);
  size_t busy_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> rejections_ ABSL_GUARDED_BY(mutex_);
  int64_t stored_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t durable_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, int64_t> done_ ABSL_GUARDED_BY(mutex_);  // finished ranges beyond durable_
  std::vector<std::thread> threads_;
};

}  // namespace

absl::Status RunPipeline(DocumentSource& source, const PipelineOptions& options, const BatchSender& send,
                         const PipelineObserver& observer, PipelineProgress* progress) {
  Flight flight(options, send);
  absl::Time last_report = absl::InfinitePast();
  const auto report = [&](bool always) {
    for (const absl::Status& rejection : flight.TakeRejections()) {
      ++progress->rejected;
      observer.rejected(rejection);
    }
    if (!always && absl::Now() - last_report < kReportEvery) return;
    last_report = absl::Now();
    flight.Report(progress);
    progress->fraction = source.Progress();
    observer.progress(*progress);
  };

  absl::Status error;
  Batch batch;
  size_t batch_bytes = 0;
  const auto push = [&] {
    batch.end = progress->read;
    const bool accepted = flight.Push(std::move(batch));
    batch = Batch{};
    batch_bytes = 0;
    return accepted;
  };
  while (options.limit < 0 || progress->read < options.limit) {
    auto next = source.Next();
    if (!next.ok()) {
      if (!options.skip_bad || !absl::IsInvalidArgument(next.status())) {
        error = next.status();
        break;
      }
      ++progress->rejected;
      observer.rejected(next.status());
      if (!batch.documents.empty() && !push()) break;
      flight.MarkDone(progress->read, progress->read + 1);
      ++progress->read;
      continue;
    }
    if (!next->has_value()) break;
    if (progress->read < options.skip) {
      ++progress->read;
      continue;
    }
    if (batch.documents.empty()) batch.first = progress->read;
    batch_bytes += (*next)->text.size();
    batch.documents.push_back(*std::move(*next));
    ++progress->read;
    if ((batch.documents.size() >= options.batch_documents || batch_bytes >= options.batch_bytes) && !push()) break;
    report(false);
  }
  if (!batch.documents.empty()) push();
  while (!flight.WaitUntilEmpty(absl::Now() + kReportEvery)) report(false);
  flight.Finish();
  report(true);
  const absl::Status sent = flight.error();
  return sent.ok() ? error : sent;
}

}  // namespace alcove::ctl
