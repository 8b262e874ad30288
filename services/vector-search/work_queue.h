// A task pool with a bound on what may wait: the admission control of both faces.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/time/time.h>

#include "libs/common/task_pool.h"
#include "libs/net/loop.h"

namespace alcove::vector_search {

// Thread-safe. Outlives the servers whose loops it is given.
class WorkQueue {
 public:
  WorkQueue(int threads, size_t max_queue, const std::string& name)
      : name_(name), max_(max_queue), pool_(threads, name) {}

  // RESOURCE_EXHAUSTED, with a hint when to try again, when as many tasks are waiting as may; the task is then dropped.
  absl::Status Submit(absl::AnyInvocable<void()> task);

  // The same for work that is usually short, from `loop`'s own thread. Tasks run at the end of the turn, which saves
  // waking a worker for each and the loop for its answer, and lets the answers share a write: the first of a turn
  // always, more of them while, going by those before, all take no longer than kTurn; the others go to the pool. One
  // that takes more processor time than kShort sends the rest of its turn to the pool, and those of later turns as well
  // when it takes several times as long or such tasks are not rare.
  absl::Status SubmitShort(net::Loop& loop, absl::AnyInvocable<void()> task);

  TaskPool& pool() { return pool_; }

  static constexpr absl::Duration kShort = absl::Microseconds(500);
  static constexpr absl::Duration kTurn = absl::Microseconds(500);

 private:
  // The loop's own.
  struct Turn {
    std::vector<absl::AnyInvocable<void()>> tasks;                 // wait for the turn's end
    int64_t mean_ns = absl::ToInt64Nanoseconds(WorkQueue::kTurn);  // processor time of one, the latest weigh most
  };
  void EndTurn(Turn& turn);

  const std::string name_;
  const size_t max_;
  std::array<Turn, 16> turns_;         // by the loop's index
  std::atomic<int64_t> not_short_{0};  // tasks to come that are not tried on a loop
  TaskPool pool_;
};

}  // namespace alcove::vector_search
