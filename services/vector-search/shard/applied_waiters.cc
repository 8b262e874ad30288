#include "services/vector-search/shard/applied_waiters.h"

#include <utility>

#include <absl/strings/str_cat.h>

namespace alcove::vector_search {

void AppliedWaiters::Wait(store::Sequence sequence, absl::Time deadline, Callback callback) {
  absl::Status answer;
  {
    absl::MutexLock lock(&mutex_);
    if (failed_.ok() && sequence > applied_) {
      waiters_.emplace(sequence, Waiter{deadline, std::move(callback)});
      return;
    }
    answer = failed_;
  }
  callback(std::move(answer));
}

void AppliedWaiters::Advance(store::Sequence applied) {
  std::vector<Callback> ready;
  {
    absl::MutexLock lock(&mutex_);
    applied_ = applied;
    const auto end = waiters_.upper_bound(applied);
    for (auto at = waiters_.begin(); at != end; ++at) ready.push_back(std::move(at->second.callback));
    waiters_.erase(waiters_.begin(), end);
  }
  for (Callback& callback : ready) callback(absl::OkStatus());
}

void AppliedWaiters::Restart() {
  absl::MutexLock lock(&mutex_);
  applied_ = 0;
}

void AppliedWaiters::Expire(absl::Time now) {
  std::vector<std::pair<store::Sequence, Callback>> late;
  store::Sequence applied;
  {
    absl::MutexLock lock(&mutex_);
    applied = applied_;
    for (auto at = waiters_.begin(); at != waiters_.end();) {
      if (at->second.deadline > now) {
        ++at;
        continue;
      }
      late.emplace_back(at->first, std::move(at->second.callback));
      at = waiters_.erase(at);
    }
  }
  for (auto& [sequence, callback] : late) {
    callback(absl::DeadlineExceededError(
        absl::StrCat("waited for sequence ", sequence, ", the shard has applied ", applied)));
  }
}

void AppliedWaiters::Fail(absl::Status why) {
  std::multimap<store::Sequence, Waiter> all;
  {
    absl::MutexLock lock(&mutex_);
    failed_ = why;
    all.swap(waiters_);
  }
  for (auto& [sequence, waiter] : all) waiter.callback(why);
}

}  // namespace alcove::vector_search
