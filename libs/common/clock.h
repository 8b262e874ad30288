// Time as a dependency. Code that waits, expires or measures takes a Clock, so that a test can drive it with
// alcove::testing::FakeClock and never sleeps.
#pragma once

#include <cstdint>

#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace alcove {

// Thread safe. An implementation outlives everything that uses it.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall-clock time: for deadlines, expiry and time stamps.
  virtual absl::Time Now() const = 0;

  // Nanoseconds since an arbitrary start; never goes back. For measuring intervals.
  virtual int64_t MonotonicNanos() const = 0;

  // Waits, with `mu` held exclusively by the caller, until `condition` holds or Now() reaches `deadline`
  // (absl::InfiniteFuture() waits for the condition only). `mu` is released while waiting and held again on return, as
  // in absl::Mutex::AwaitWithDeadline. Returns whether the condition holds.
  virtual bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) = 0;

  // As above, with a relative timeout on this clock.
  bool AwaitWithTimeout(absl::Mutex* mu, const absl::Condition& condition, absl::Duration timeout) {
    return AwaitWithDeadline(mu, condition, Now() + timeout);
  }
};

// The machine's clock. Never destroyed.
Clock* RealClock();

}  // namespace alcove
