#pragma once

// Wakes the threads of this process that wait for appends. Thread-safe.

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/common/clock.h"

namespace alcove::store::internal {

class ChangeHub {
 public:
  // What a waiter has seen: taken before it looks at the database, so that nothing between look and wait is missed.
  struct Mark {
    uint64_t changes = 0;
    uint64_t wakes = 0;
  };

  explicit ChangeHub(Clock* clock) : clock_(clock) {}

  Mark Now() const {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  void Changed() {
    absl::MutexLock lock(&mutex_);
    ++now_.changes;
  }
  void Wake() {
    absl::MutexLock lock(&mutex_);
    ++now_.wakes;
  }
  bool WokenSince(const Mark& mark) const {
    absl::MutexLock lock(&mutex_);
    return now_.wakes != mark.wakes;
  }

  // Until something happened after `mark` (true) or the clock reaches `deadline` (false).
  bool AwaitNews(const Mark& mark, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    auto news = [this, &mark]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return now_.changes != mark.changes || now_.wakes != mark.wakes;
    };
    return clock_->AwaitWithDeadline(&mutex_, absl::Condition(&news), deadline);
  }

 private:
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  Mark now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace alcove::store::internal
