// Who waits until a shard has applied a sequence. No thread waits: callbacks run when the applier gets there.
#pragma once

#include <map>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/store/types.h"

namespace alcove::vector_search {

// Thread-safe. Callbacks run without any lock held, each exactly once.
class AppliedWaiters {
 public:
  using Callback = absl::AnyInvocable<void(absl::Status)>;

  // Calls back at once when `sequence` is applied already or the shard is gone; else on the thread of Advance, Expire
  // or Fail. Callbacks must be short.
  void Wait(store::Sequence sequence, absl::Time deadline, Callback callback);
  // Everything up to `applied` can be found.
  void Advance(store::Sequence applied);
  // The shard begins again from nothing: later waiters wait for what is applied from then on.
  void Restart();
  // DEADLINE_EXCEEDED, naming how far the shard is, for all whose deadline has passed.
  void Expire(absl::Time now);
  // Every waiter, now and later, gets `why`.
  void Fail(absl::Status why);

 private:
  struct Waiter {
    absl::Time deadline;
    Callback callback;
  };
  absl::Mutex mutex_;
  store::Sequence applied_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  std::multimap<store::Sequence, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace alcove::vector_search
