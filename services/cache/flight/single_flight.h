// Lets one caller of many compute a missing value while the others wait for it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/functional/any_invocable.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "libs/common/clock.h"
#include "services/cache/tiers/entry.h"

namespace alcove::cache {

// Leader: `lease` names the leadership; the caller computes and calls Complete or Release. Value: another caller
// computed it. Neither: the wait ended without a value.
struct FlightResult {
  std::string lease;
  absl::Time born;  // of the lease
  std::optional<CachedValue> value;
};
using FlightCallback = absl::AnyInvocable<void(FlightResult)>;

// A lease that is neither completed nor released expires; the longest-waiting follower then leads. Waiting costs a few
// hundred bytes and no thread. Callbacks run without locks held, on the thread that completes or on the timer thread.
// Thread safe.
class SingleFlight {
 public:
  SingleFlight(Clock* clock, absl::Duration lease_time);
  // Waiting callers get an empty result.
  ~SingleFlight();

  // Calls `done` exactly once: at once when nobody computes `key` (as the leader), else when there is a value, when
  // leadership falls to this caller, or at `deadline` with an empty result. Returns an id for Cancel, 0 when `done`
  // ran.
  uint64_t Join(const std::string& key, absl::Time deadline, FlightCallback done);
  // Forgets a waiting caller without calling it back. False when it was called back already, or is being so.
  bool Cancel(const std::string& key, uint64_t waiter);

  // Ends the flight that `lease` leads and gives `value` to the waiting callers. nullopt when the lease is not (or no
  // longer) valid; else the moment it was granted.
  std::optional<absl::Time> Complete(const std::string& key, absl::string_view lease, const CachedValue& value);
  // Ends the leadership without a value; the next waiting caller leads.
  bool Release(const std::string& key, absl::string_view lease);
  // When the lease was granted; nullopt when it is not valid.
  std::optional<absl::Time> BornAt(const std::string& key, absl::string_view lease) const;

  size_t flights() const;
  uint64_t waits() const;           // callers that had to wait, ever
  uint64_t leases_expired() const;  // ever

 private:
  struct Waiter {
    uint64_t id;
    absl::Time deadline;
    FlightCallback done;
  };
  struct Flight {
    std::string lease;
    absl::Time born;
    absl::Time expires;
    std::vector<Waiter> waiters;  // in order of arrival
  };
  struct Due {
    std::string key;
    uint64_t waiter;  // 0: the lease itself
  };
  // A callback and what to call it with, to be run once the lock is let go.
  struct Call {
    FlightCallback done;
    FlightResult result;
  };

  void RunTimer();
  void Expire(absl::Time now, std::vector<Call>* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes the first waiter the leader, or ends the flight when nobody waits.
  void PassOn(const std::string& key, std::vector<Call>* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Grant(const std::string& key, Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule(absl::Time when, Due due) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void RunAll(std::vector<Call> calls);

  Clock* const clock_;
  const absl::Duration lease_time_;
  const uint64_t lease_salt_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Flight> flights_ ABSL_GUARDED_BY(mutex_);
  std::multimap<absl::Time, Due> due_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t timer_changes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t waits_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t leases_expired_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread timer_;
};

}  // namespace alcove::cache
