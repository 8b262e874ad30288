#include "libs/testing/fake_clock.h"

#include <absl/time/clock.h>

namespace alcove::testing {

FakeClock::FakeClock() : FakeClock(absl::FromCivil(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone())) {}
FakeClock::FakeClock(absl::Time start) : wall_nanos_(absl::ToUnixNanos(start)) {}

absl::Time FakeClock::Now() const { return absl::FromUnixNanos(wall_nanos_.load()); }
int64_t FakeClock::MonotonicNanos() const { return monotonic_nanos_.load(); }

bool FakeClock::AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition, absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    mu->Await(condition);
    return true;
  }
  waiters_.fetch_add(1);
  // Advance() cannot wake the waiters of mutexes it does not know, so a waiter looks at the clock again and again.
  bool holds = condition.Eval();
  while (!holds && Now() < deadline) {
    holds = mu->AwaitWithTimeout(condition, absl::Milliseconds(1));
  }
  waiters_.fetch_sub(1);
  return holds;
}

void FakeClock::Advance(absl::Duration by) {
  const int64_t nanos = absl::ToInt64Nanoseconds(by);
  monotonic_nanos_.fetch_add(nanos);
  wall_nanos_.fetch_add(nanos);
}

void FakeClock::JumpTo(absl::Time now) { wall_nanos_.store(absl::ToUnixNanos(now)); }

bool FakeClock::WaitForWaiters(int threads, absl::Duration limit) const {
  const absl::Time give_up = absl::Now() + limit;
  while (waiters_.load() < threads) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Microseconds(200));
  }
  return true;
}

}  // namespace alcove::testing
