// Worker threads for CPU work: a queue of tasks and a parallel-for in which the caller takes part.
//
// A worker with nothing to do spins for at most kSpin and then sleeps on a futex, so back-to-back parallel loops start
// in about a microsecond while an idle or oversubscribed machine loses nothing to spinning; where spinning keeps
// finding nothing it is left out. Chunks are claimed one at a time from a shared counter: a worker the kernel has
// descheduled delays the loop by the chunk it holds, never by a share fixed beforehand.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <absl/functional/any_invocable.h>
#include <absl/functional/function_ref.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

namespace alcove {

// Thread safe. Functions given to it must not throw.
class TaskPool {
 public:
  // The longest a worker or a waiting caller spins before it sleeps.
  static constexpr absl::Duration kSpin = absl::Microseconds(30);

  // `threads` workers, at least 0: with 0 a parallel-for runs wholly on its caller and Submit runs the task at once.
  // `name` shows in tools such as top; at most 15 bytes of it are used.
  explicit TaskPool(int threads, absl::string_view name = "alcove-pool");
  // Runs every task already submitted, then stops the workers. No other call may be in progress.
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  int threads() const;

  // Runs `task` on a worker, in order of submission; tasks may submit more tasks.
  void Submit(absl::AnyInvocable<void()> task);

  // Calls body(i) once for each i in [0, n), on the caller and on idle workers, in no particular order; returns when
  // all calls have returned. What the calls wrote is visible to the caller. May be nested and called from several
  // threads.
  void ParallelFor(size_t n, absl::FunctionRef<void(size_t)> body);
  // As above for ranges: body(begin, end) over pieces of at most `grain` indexes that cover [0, n).
  void ParallelForRange(size_t n, size_t grain, absl::FunctionRef<void(size_t, size_t)> body);

  // Blocks until no submitted task is queued or running.
  void WaitIdle();
  // Tasks queued and not yet begun.
  size_t QueueDepth() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Processors this process may run on: the smaller of its affinity mask and its cgroup's CPU quota, rounded up; at
// least 1.
int AvailableCpus();

}  // namespace alcove
