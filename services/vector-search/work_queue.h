// A task pool with a bound on what may wait: the admission control of both faces.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "libs/common/status.h"
#include "libs/common/task_pool.h"

namespace alcove::vector_search {

// Thread-safe.
class WorkQueue {
 public:
  WorkQueue(int threads, size_t max_queue, const std::string& name)
      : name_(name), max_(max_queue), pool_(threads, name) {}

  // RESOURCE_EXHAUSTED, with a hint when to try again, when as many tasks are waiting as may; the task is then dropped.
  absl::Status Submit(absl::AnyInvocable<void()> task) {
    if (const size_t depth = pool_.QueueDepth(); depth >= max_) {
      return WithRetryAfter(
          absl::ResourceExhaustedError(absl::StrCat(depth, " calls wait for a ", name_, " thread already")),
          absl::Milliseconds(100));
    }
    pool_.Submit(std::move(task));
    return absl::OkStatus();
  }
  TaskPool& pool() { return pool_; }

 private:
  const std::string name_;
  const size_t max_;
  TaskPool pool_;
};

}  // namespace alcove::vector_search
