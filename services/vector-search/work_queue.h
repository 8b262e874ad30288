// A task pool with a bound on what may wait: the admission control of both faces.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

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

  // The same for work that is usually short, from `loop`'s own thread. The first task of a turn runs at the turn's end,
  // which saves waking a worker for it and the loop for its answer; the others go to the pool. One that takes more
  // processor time than kShort holds up the loop once and sends those after it to the pool.
  absl::Status SubmitShort(net::Loop& loop, absl::AnyInvocable<void()> task);

  TaskPool& pool() { return pool_; }

  static constexpr absl::Duration kShort = absl::Microseconds(500);

 private:
  void RunHere(absl::AnyInvocable<void()> task);

  const std::string name_;
  const size_t max_;
  // What waits for the end of each loop's turn, by the loop's index; the loop's own.
  std::array<absl::AnyInvocable<void()>, 16> at_end_;
  std::atomic<int64_t> not_short_{0};  // tasks to come that are not tried on a loop
  TaskPool pool_;
};

}  // namespace alcove::vector_search
