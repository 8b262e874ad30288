#include "services/vector-search/work_queue.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <absl/strings/str_cat.h>

#include "libs/common/status.h"

namespace alcove::vector_search {
namespace {

// Tasks kept off the loops for each kShort that one took there, and the most of them.
constexpr int64_t kPenalty = 8;
constexpr int64_t kMaxPenalty = 16384;

// Of this thread: what others took of the processor meanwhile says nothing about the task.
int64_t CpuNanos() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

absl::Status WorkQueue::Submit(absl::AnyInvocable<void()> task) {
  if (const size_t depth = pool_.QueueDepth(); depth >= max_) {
    return WithRetryAfter(
        absl::ResourceExhaustedError(absl::StrCat(depth, " calls wait for a ", name_, " thread already")),
        absl::Milliseconds(100));
  }
  pool_.Submit(std::move(task));
  return absl::OkStatus();
}

absl::Status WorkQueue::SubmitShort(net::Loop& loop, absl::AnyInvocable<void()> task) {
  const auto index = static_cast<size_t>(loop.index());
  if (index >= at_end_.size() || at_end_[index] != nullptr) return Submit(std::move(task));
  if (not_short_.load(std::memory_order_relaxed) > 0) {
    not_short_.fetch_sub(1, std::memory_order_relaxed);
    return Submit(std::move(task));
  }
  at_end_[index] = std::move(task);
  // Posted work runs after everything that was ready in this turn.
  loop.Post([this, index] { RunHere(std::exchange(at_end_[index], nullptr)); });
  return absl::OkStatus();
}

void WorkQueue::RunHere(absl::AnyInvocable<void()> task) {
  const int64_t begun = CpuNanos();
  task();
  const int64_t took = CpuNanos() - begun;
  const int64_t longest = absl::ToInt64Nanoseconds(kShort);
  if (took > longest) not_short_.store(std::min(kPenalty * (took / longest), kMaxPenalty), std::memory_order_relaxed);
}

}  // namespace alcove::vector_search
