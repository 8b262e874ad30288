// Functions run a little later, on one thread.
#pragma once

#include <map>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/functional/any_invocable.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"

namespace alcove::vector_search {

// Thread-safe. Tasks must be short.
class DelayedTasks {
 public:
  explicit DelayedTasks(Clock* clock = nullptr);
  // Runs at once what is still waiting.
  ~DelayedTasks();
  DelayedTasks(const DelayedTasks&) = delete;
  DelayedTasks& operator=(const DelayedTasks&) = delete;

  void After(absl::Duration delay, absl::AnyInvocable<void()> task);

 private:
  void Run();

  Clock* const clock_;
  absl::Mutex mutex_;
  std::multimap<absl::Time, absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace alcove::vector_search
