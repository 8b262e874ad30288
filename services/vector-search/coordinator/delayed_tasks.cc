#include "services/vector-search/coordinator/delayed_tasks.h"

#include <utility>

namespace alcove::vector_search {

DelayedTasks::DelayedTasks(Clock* clock) : clock_(clock == nullptr ? RealClock() : clock), thread_([this] { Run(); }) {}

DelayedTasks::~DelayedTasks() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void DelayedTasks::After(absl::Duration delay, absl::AnyInvocable<void()> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.emplace(clock_->Now() + delay, std::move(task));
}

void DelayedTasks::Run() {
  absl::MutexLock lock(&mutex_);
  while (true) {
    if (tasks_.empty()) {
      if (stopping_) return;
      const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !tasks_.empty(); };
      mutex_.Await(absl::Condition(&something));
      continue;
    }
    const absl::Time due = tasks_.begin()->first;
    if (!stopping_ && due > clock_->Now()) {
      const auto sooner = [this, due]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || tasks_.begin()->first < due;
      };
      clock_->AwaitWithDeadline(&mutex_, absl::Condition(&sooner), due);
      continue;
    }
    absl::AnyInvocable<void()> task = std::move(tasks_.begin()->second);
    tasks_.erase(tasks_.begin());
    mutex_.Unlock();
    task();
    task = nullptr;
    mutex_.Lock();
  }
}

}  // namespace alcove::vector_search
