// What calls to one process have taught about it.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace alcove::vector_search {

// Thread-safe.
class ProcessHealth {
 public:
  // A process that failed is asked last for so long, twice as long with each further failure.
  static constexpr absl::Duration kFirstAway = absl::Milliseconds(100);
  static constexpr absl::Duration kLongestAway = absl::Seconds(5);

  void Began();
  // `reached`: it answered, whatever it said.
  void Ended(absl::Time now, absl::Duration took, bool reached);

  // It failed lately and has not answered since.
  bool Away(absl::Time now) const;
  // How long a further call would take, roughly: its usual time for each call under way.
  double ExpectedSeconds() const;

 private:
  mutable absl::Mutex mutex_;
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // in a row
  absl::Time away_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  double seconds_ ABSL_GUARDED_BY(mutex_) = 0.001;  // moving average
};

}  // namespace alcove::vector_search
