#include "services/cache/flight/single_flight.h"

#include <algorithm>

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>

namespace alcove::cache {

SingleFlight::SingleFlight(Clock* clock, absl::Duration lease_time)
    : clock_(clock), lease_time_(lease_time), lease_salt_([] {
        absl::BitGen random;
        return absl::Uniform<uint64_t>(random);
      }()) {
  timer_ = std::thread([this] { RunTimer(); });
}

SingleFlight::~SingleFlight() {
  std::vector<Call> calls;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    for (auto& [key, flight] : flights_) {
      for (Waiter& waiter : flight.waiters) calls.push_back({std::move(waiter.done), {}});
    }
    flights_.clear();
  }
  timer_.join();
  RunAll(std::move(calls));
}

void SingleFlight::RunAll(std::vector<Call> calls) {
  for (Call& call : calls) call.done(std::move(call.result));
}

void SingleFlight::Schedule(absl::Time when, Due due) {
  // The timer thread only has to look again when its next wake-up moves forward.
  if (due_.empty() || when < due_.begin()->first) ++timer_changes_;
  due_.emplace(when, std::move(due));
}

void SingleFlight::Grant(const std::string& key, Flight& flight) {
  flight.lease = absl::StrCat(absl::Hex(lease_salt_), "-", next_id_++);
  flight.born = clock_->Now();
  flight.expires = flight.born + lease_time_;
  Schedule(flight.expires, Due{key, 0});
}

uint64_t SingleFlight::Join(const std::string& key, absl::Time deadline, FlightCallback done) {
  FlightResult result;
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      const auto [it, is_new] = flights_.try_emplace(key);
      if (!is_new && deadline > clock_->Now()) {
        const uint64_t id = next_id_++;
        it->second.waiters.push_back({id, deadline, std::move(done)});
        Schedule(deadline, Due{key, id});
        ++waits_;
        return id;
      }
      if (is_new) {
        Grant(key, it->second);
        result.lease = it->second.lease;
        result.born = it->second.born;
      }
    }
  }
  done(std::move(result));
  return 0;
}

bool SingleFlight::Cancel(const std::string& key, uint64_t waiter) {
  absl::MutexLock lock(&mutex_);
  const auto it = flights_.find(key);
  if (it == flights_.end()) return false;
  auto& waiters = it->second.waiters;
  const auto found = std::find_if(waiters.begin(), waiters.end(), [waiter](const Waiter& w) { return w.id == waiter; });
  if (found == waiters.end()) return false;
  waiters.erase(found);
  return true;
}

std::optional<absl::Time> SingleFlight::Complete(const std::string& key, absl::string_view lease,
                                                 const CachedValue& value) {
  std::vector<Call> calls;
  absl::Time born;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = flights_.find(key);
    if (it == flights_.end() || it->second.lease != lease) return std::nullopt;
    born = it->second.born;
    for (Waiter& waiter : it->second.waiters) calls.push_back({std::move(waiter.done), {"", {}, value}});
    flights_.erase(it);
  }
  RunAll(std::move(calls));
  return born;
}

bool SingleFlight::Release(const std::string& key, absl::string_view lease) {
  std::vector<Call> calls;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = flights_.find(key);
    if (it == flights_.end() || it->second.lease != lease) return false;
    PassOn(key, &calls);
  }
  RunAll(std::move(calls));
  return true;
}

std::optional<absl::Time> SingleFlight::BornAt(const std::string& key, absl::string_view lease) const {
  absl::MutexLock lock(&mutex_);
  const auto it = flights_.find(key);
  if (it == flights_.end() || it->second.lease != lease) return std::nullopt;
  return it->second.born;
}

void SingleFlight::PassOn(const std::string& key, std::vector<Call>* calls) {
  const auto it = flights_.find(key);
  if (it->second.waiters.empty()) {
    flights_.erase(it);
    return;
  }
  Waiter next = std::move(it->second.waiters.front());
  it->second.waiters.erase(it->second.waiters.begin());
  Grant(key, it->second);
  calls->push_back({std::move(next.done), {it->second.lease, it->second.born, std::nullopt}});
}

void SingleFlight::Expire(absl::Time now, std::vector<Call>* calls) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const Due due = std::move(due_.begin()->second);
    const absl::Time when = due_.begin()->first;
    due_.erase(due_.begin());
    const auto it = flights_.find(due.key);
    if (it == flights_.end()) continue;
    if (due.waiter == 0) {
      // A later lease of the same key has a time of its own.
      if (it->second.expires != when) continue;
      ++leases_expired_;
      PassOn(due.key, calls);
      continue;
    }
    auto& waiters = it->second.waiters;
    const auto waiter =
        std::find_if(waiters.begin(), waiters.end(), [&due](const Waiter& w) { return w.id == due.waiter; });
    if (waiter == waiters.end()) continue;
    calls->push_back({std::move(waiter->done), {}});
    waiters.erase(waiter);
  }
}

void SingleFlight::RunTimer() {
  for (;;) {
    std::vector<Call> calls;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      Expire(clock_->Now(), &calls);
      if (calls.empty()) {
        const uint64_t seen = timer_changes_;
        const auto changed = [this, seen]()
                                 ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || timer_changes_ != seen; };
        clock_->AwaitWithDeadline(&mutex_, absl::Condition(&changed),
                                  due_.empty() ? absl::InfiniteFuture() : due_.begin()->first);
      }
    }
    RunAll(std::move(calls));
  }
}

size_t SingleFlight::flights() const {
  absl::MutexLock lock(&mutex_);
  return flights_.size();
}

uint64_t SingleFlight::waits() const {
  absl::MutexLock lock(&mutex_);
  return waits_;
}

uint64_t SingleFlight::leases_expired() const {
  absl::MutexLock lock(&mutex_);
  return leases_expired_;
}

}  // namespace alcove::cache
