// A clock that stands still until a test moves it.
#pragma once

#include <atomic>
#include <cstdint>

#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"

namespace alcove::testing {

// Thread safe. Threads that wait on the clock wake within a millisecond or so of real time after their deadline is
// reached or their condition holds.
class FakeClock final : public Clock {
 public:
  // Starts at 2026-01-01 00:00:00 UTC unless told otherwise.
  FakeClock();
  explicit FakeClock(absl::Time start);

  absl::Time Now() const override;
  int64_t MonotonicNanos() const override;
  bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) override;

  // Moves wall and monotonic time forward; `by` must not be negative.
  void Advance(absl::Duration by);
  // Makes the wall clock jump, as when an operator sets it; monotonic time stays.
  void JumpTo(absl::Time now);
  // Blocks, in real time, until at least `threads` threads wait on this clock with a finite deadline; false after
  // `limit` of real time. Call it before Advance() when another thread must have begun to wait.
  bool WaitForWaiters(int threads, absl::Duration limit = absl::Seconds(10)) const;

 private:
  std::atomic<int64_t> wall_nanos_;
  std::atomic<int64_t> monotonic_nanos_{1'000'000'000};
  std::atomic<int> waiters_{0};
};

}  // namespace alcove::testing
