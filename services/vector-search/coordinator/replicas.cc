#include "services/vector-search/coordinator/replicas.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

constexpr double kMostHedges = 10;  // what may be saved up
constexpr int kRounds = 3;          // times all replicas are asked
constexpr double kWeight = 0.05;    // of the newest answer in the averages

// The process did its part, however the call ended.
bool Reached(const absl::Status& status) {
  return status.ok() || ConcernsTheCall(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

ReplicaCounters ReplicaCounters::Make(Registry& registry) {
  return {
      &registry.AddCounter("alcove_vector_hedges_total", "Calls asked of a second replica because the first was slow."),
      &registry.AddCounter("alcove_vector_failovers_total", "Calls asked of another replica because one failed.")};
}

// One call on its way through the replicas. Its answer is the first good one, or the first error when there is none.
template <typename T>
class Replicas::Race : public std::enable_shared_from_this<Race<T>> {
 public:
  using Ask = std::function<void(ShardClient& client, const RequestContext& ctx, Done<T> done)>;

  Race(std::shared_ptr<Replicas> replicas, const RequestContext& ctx, Ask ask, Done<T> done)
      : replicas_(std::move(replicas)),
        ctx_(ctx),
        ask_(std::move(ask)),
        done_(std::move(done)),
        order_(replicas_->Order()) {}

  void Begin() {
    Launch();
    if (order_.size() < 2) return;
    {
      absl::MutexLock lock(&mutex_);
      if (finished_) return;
    }
    if (replicas_->options_.hedge) {
      replicas_->timer_->After(replicas_->HedgeAfter(), [self = this->shared_from_this()] { self->Hedge(); });
    }
    replicas_->timer_->After(replicas_->options_.give_up_after, [self = this->shared_from_this()] { self->Another(); });
  }

 private:
  // Asks the next replica; false when all were asked in this round or the call is over.
  bool Launch() {
    size_t position;
    RequestContext ctx;
    {
      absl::MutexLock lock(&mutex_);
      if (finished_ || next_ == order_.size()) return false;
      position = order_[next_++];
      ++outstanding_;
      sources_.push_back(std::make_unique<CancellationSource>(ctx_.cancellation()));
      ctx = ctx_.WithCancellation(sources_.back()->token());
    }
    const Replica& replica = replicas_->replicas_[position];
    replica.health->Began();
    const bool first = position == order_.front();
    const absl::Time began = replicas_->clock_->Now();
    ask_(*replica.client, ctx, [self = this->shared_from_this(), position, began, first](absl::StatusOr<T> result) {
      self->Answered(position, began, first, std::move(result));
    });
    return true;
  }

  void Hedge() {
    {
      absl::MutexLock lock(&mutex_);
      if (finished_ || next_ == order_.size() || next_ > 1) return;
    }
    if (!replicas_->TakeHedge()) return;
    if (Launch() && replicas_->counters_.hedges != nullptr) replicas_->counters_.hedges->Increment();
  }

  void Another() {
    if (Launch() && replicas_->counters_.failovers != nullptr) replicas_->counters_.failovers->Increment();
  }

  void Answered(size_t position, absl::Time began, bool first, absl::StatusOr<T> result) {
    const absl::Time now = replicas_->clock_->Now();
    const absl::Status status = result.status();
    const bool mine = ctx_.Check(*replicas_->clock_).ok();
    bool over;
    bool again = false;
    {
      absl::MutexLock lock(&mutex_);
      --outstanding_;
      over = finished_;
      if (!over && (status.ok() || ConcernsTheCall(status) || !mine)) finished_ = true;
      if (!over && !finished_) {
        if (error_.ok()) error_ = status;
        if (next_ == order_.size() && outstanding_ == 0) {
          again = ++round_ < kRounds;
          if (!again) {
            finished_ = true;
            result = error_;
          }
        }
      }
    }
    // Who lost a race or was called off when its time was over has not failed, but it was as slow as that.
    const bool blameless = over || !mine;
    replicas_->replicas_[position].health->Ended(now, now - began, blameless || Reached(status));
    if (first && status.ok()) replicas_->NoteLatency(now - began);
    if (over) return;
    if (again) {
      const absl::Duration pause = replicas_->options_.retry_pause * (1 << (round_ - 1));
      replicas_->timer_->After(pause, [self = this->shared_from_this()] {
        {
          absl::MutexLock lock(&self->mutex_);
          self->next_ = 0;
        }
        self->Launch();
      });
      return;
    }
    bool finished;
    {
      absl::MutexLock lock(&mutex_);
      finished = finished_;
    }
    if (!finished) {
      Another();
      return;
    }
    CallOffOthers();
    done_(std::move(result));
  }

  void CallOffOthers() {
    std::vector<std::unique_ptr<CancellationSource>> sources;
    {
      absl::MutexLock lock(&mutex_);
      sources.swap(sources_);
    }
    for (const auto& source : sources) source->Cancel(absl::CancelledError("another replica answered"));
  }

  const std::shared_ptr<Replicas> replicas_;  // losers of the race may come in late
  const RequestContext ctx_;
  const Ask ask_;
  Done<T> done_;
  const std::vector<size_t> order_;

  absl::Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  int outstanding_ ABSL_GUARDED_BY(mutex_) = 0;
  int round_ = 0;  // changed by whoever gets the last answer of a round
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<CancellationSource>> sources_ ABSL_GUARDED_BY(mutex_);
};

Replicas::Replicas(ReplicaOptions options, ReplicaCounters counters, std::vector<Replica> replicas, DelayedTasks* timer)
    : options_(std::move(options)),
      counters_(counters),
      replicas_(std::move(replicas)),
      timer_(timer),
      clock_(options_.clock == nullptr ? RealClock() : options_.clock),
      hedges_left_(kMostHedges) {}

template <typename T, typename Ask>
void Replicas::Start(const RequestContext& ctx, Ask ask, Done<T> done) {
  NoteCall();
  std::make_shared<Race<T>>(shared_from_this(), ctx, std::move(ask), std::move(done))->Begin();
}

std::vector<size_t> Replicas::Order() const {
  struct Candidate {
    size_t position;
    bool away, remote;
    double seconds;
  };
  const absl::Time now = clock_->Now();
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < replicas_.size(); ++i) {
    const Replica& replica = replicas_[i];
    candidates.push_back(
        {i, replica.health->Away(now), !replica.client->InProcess(), replica.health->ExpectedSeconds()});
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    if (a.away != b.away) return b.away;
    if (a.remote != b.remote) return b.remote;
    return a.seconds < b.seconds;
  });
  std::vector<size_t> order;
  for (const Candidate& candidate : candidates) order.push_back(candidate.position);
  return order;
}

absl::Duration Replicas::HedgeAfter() const {
  absl::MutexLock lock(&mutex_);
  return std::clamp(absl::Seconds(mean_ + 4 * deviation_), options_.hedge_least, options_.give_up_after);
}

void Replicas::NoteCall() {
  absl::MutexLock lock(&mutex_);
  hedges_left_ = std::min(kMostHedges, hedges_left_ + options_.hedge_ratio);
}

void Replicas::NoteLatency(absl::Duration took) {
  const double seconds = absl::ToDoubleSeconds(took);
  absl::MutexLock lock(&mutex_);
  deviation_ += kWeight * (std::abs(seconds - mean_) - deviation_);
  mean_ += kWeight * (seconds - mean_);
}

bool Replicas::TakeHedge() {
  absl::MutexLock lock(&mutex_);
  if (hedges_left_ < 1) return false;
  hedges_left_ -= 1;
  return true;
}

void Replicas::Search(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const SearchQuery> query,
                      Done<std::vector<FoundPoint>> done) {
  Start<std::vector<FoundPoint>>(
      ctx,
      [target, query = std::move(query)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Search(attempt, target, query, std::move(answer));
      },
      std::move(done));
}

void Replicas::Get(const RequestContext& ctx, const ShardTarget& target, GetQuery query,
                   Done<std::vector<StoredPoint>> done) {
  Start<std::vector<StoredPoint>>(
      ctx,
      [target, query = std::move(query)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Get(attempt, target, query, std::move(answer));
      },
      std::move(done));
}

void Replicas::Scroll(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const ScrollQuery> query,
                      Done<std::vector<StoredPoint>> done) {
  Start<std::vector<StoredPoint>>(
      ctx,
      [target, query = std::move(query)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Scroll(attempt, target, query, std::move(answer));
      },
      std::move(done));
}

void Replicas::Count(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const Filter> filter,
                     Done<int64_t> done) {
  Start<int64_t>(
      ctx,
      [target, filter = std::move(filter)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Count(attempt, target, filter, std::move(answer));
      },
      std::move(done));
}

void Replicas::Statistics(const RequestContext& ctx, const ShardTarget& target,
                          std::shared_ptr<const SearchQuery> query, Done<SparseStatistics> done) {
  Start<SparseStatistics>(
      ctx,
      [target, query = std::move(query)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Statistics(attempt, target, query, std::move(answer));
      },
      std::move(done));
}

void Replicas::Facet(const RequestContext& ctx, const ShardTarget& target, std::shared_ptr<const FacetQuery> query,
                     Done<ShardFacet> done) {
  Start<ShardFacet>(
      ctx,
      [target, query = std::move(query)](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Facet(attempt, target, query, std::move(answer));
      },
      std::move(done));
}

void Replicas::Stats(const RequestContext& ctx, store::CollectionId collection, Done<std::vector<HostedStats>> done) {
  Start<std::vector<HostedStats>>(
      ctx,
      [collection](ShardClient& client, const RequestContext& attempt, auto answer) {
        client.Stats(attempt, collection, std::move(answer));
      },
      std::move(done));
}

void Replicas::Notify(const RequestContext& ctx, std::vector<ShardTarget> targets, bool wait,
                      absl::AnyInvocable<void(absl::Status)> done) {
  auto gather = Gather<bool>::Make(replicas_.size(), [done = std::move(done)](auto results) mutable {
    bool one = false;
    absl::Status lost, failure;
    for (const absl::StatusOr<bool>& result : results) {
      if (result.ok()) {
        one = true;
      } else if (absl::IsUnavailable(result.status())) {
        lost.Update(result.status());
      } else {
        failure.Update(result.status());
      }
    }
    if (!failure.ok()) return done(std::move(failure));
    done(one ? absl::OkStatus() : std::move(lost));
  });
  for (size_t i = 0; i < replicas_.size(); ++i) {
    replicas_[i].client->Notify(ctx, targets, wait, [slot = gather->Slot(i)](absl::Status status) mutable {
      if (status.ok()) {
        slot(true);
      } else {
        slot(std::move(status));
      }
    });
  }
}

void Replicas::RefreshCatalog(const RequestContext& ctx, absl::AnyInvocable<void(absl::Status)> done) {
  auto gather = Gather<bool>::Make(replicas_.size(), [done = std::move(done)](auto results) mutable {
    absl::Status status;
    for (const absl::StatusOr<bool>& result : results) status.Update(result.status());
    done(std::move(status));
  });
  for (size_t i = 0; i < replicas_.size(); ++i) {
    replicas_[i].client->RefreshCatalog(ctx, [slot = gather->Slot(i)](absl::Status status) mutable {
      if (status.ok()) {
        slot(true);
      } else {
        slot(std::move(status));
      }
    });
  }
}

bool Replicas::InProcess() const { return replicas_[Order().front()].client->InProcess(); }

std::string Replicas::Name() const {
  std::string out;
  for (const Replica& replica : replicas_) absl::StrAppend(&out, out.empty() ? "" : ", ", replica.client->Name());
  return out;
}

}  // namespace alcove::vector_search
