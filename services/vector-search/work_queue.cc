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
// Of kShort: one that long is no accident.
constexpr int64_t kLong = 4;
// Tasks the mean of a turn looks back over, about.
constexpr int64_t kMeanOver = 16;

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
  if (index >= turns_.size()) return Submit(std::move(task));
  Turn& turn = turns_[index];
  const bool first = turn.tasks.empty();
  const auto with_this = static_cast<int64_t>(turn.tasks.size() + 1);
  if (!first && with_this * turn.mean_ns > absl::ToInt64Nanoseconds(kTurn)) return Submit(std::move(task));
  if (not_short_.load(std::memory_order_relaxed) > 0) {
    not_short_.fetch_sub(1, std::memory_order_relaxed);
    return Submit(std::move(task));
  }
  turn.tasks.push_back(std::move(task));
  // Posted work runs after everything that was ready in this turn.
  if (first) loop.Post([this, &turn] { EndTurn(turn); });
  return absl::OkStatus();
}

void WorkQueue::EndTurn(Turn& turn) {
  const int64_t longest = absl::ToInt64Nanoseconds(kShort);
  std::vector<absl::AnyInvocable<void()>> tasks = std::exchange(turn.tasks, {});
  bool short_so_far = true;
  int64_t begun = CpuNanos();
  for (absl::AnyInvocable<void()>& task : tasks) {
    if (!short_so_far) {  // accepted already: the bound on what waits has let it in
      pool_.Submit(std::move(task));
      continue;
    }
    task();
    const int64_t now = CpuNanos();
    const int64_t took = now - std::exchange(begun, now);
    turn.mean_ns += (took - turn.mean_ns) / kMeanOver;
    if (took <= longest) continue;
    short_so_far = false;
    // A single one may have met a page fault or a neighbour on its core.
    if (took <= kLong * longest && turn.mean_ns <= longest / 2) continue;
    not_short_.store(std::min(kPenalty * (took / longest), kMaxPenalty), std::memory_order_relaxed);
  }
}

}  // namespace alcove::vector_search
