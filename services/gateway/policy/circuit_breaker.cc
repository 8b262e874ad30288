#include "services/gateway/policy/circuit_breaker.h"

#include <algorithm>

namespace alcove::gateway {

CircuitBreaker::State CircuitBreaker::state(int64_t now_ns) const {
  return state_ == State::kOpen && OpenExpired(now_ns) ? State::kHalfOpen : state_;
}

bool CircuitBreaker::CanAcquire(int64_t now_ns) const {
  switch (state_) {
    case State::kClosed: return true;
    case State::kOpen: return OpenExpired(now_ns);
    case State::kHalfOpen: return probes_in_flight_ < options_.probes;
  }
  return false;
}

bool CircuitBreaker::Acquire(int64_t now_ns) {
  if (!CanAcquire(now_ns)) return false;
  if (state_ == State::kOpen) {
    state_ = State::kHalfOpen;
    probes_in_flight_ = 0;
    probe_successes_ = 0;
  }
  if (state_ == State::kHalfOpen) ++probes_in_flight_;
  return true;
}

void CircuitBreaker::OnSuccess(int64_t) {
  if (state_ == State::kClosed) {
    failures_ = 0;
    return;
  }
  // Late replies from before it opened say nothing new.
  if (state_ == State::kOpen || probes_in_flight_ == 0) return;
  --probes_in_flight_;
  if (++probe_successes_ >= options_.successes_to_close) {
    state_ = State::kClosed;
    failures_ = 0;
    reopenings_ = 0;
  }
}

void CircuitBreaker::OnFailure(int64_t now_ns) {
  if (state_ == State::kClosed) {
    if (++failures_ >= options_.failures_to_open) Open(now_ns);
    return;
  }
  if (state_ == State::kOpen || probes_in_flight_ == 0) return;
  ++reopenings_;
  Open(now_ns);
}

void CircuitBreaker::OnAbandoned(int64_t) {
  if (state_ == State::kHalfOpen && probes_in_flight_ > 0) --probes_in_flight_;
}

void CircuitBreaker::Open(int64_t now_ns) {
  state_ = State::kOpen;
  ++opened_;
  failures_ = 0;
  probes_in_flight_ = 0;
  probe_successes_ = 0;
  absl::Duration wait = options_.open_for;
  for (uint32_t i = 0; i < reopenings_ && wait < options_.open_max; ++i) wait *= 2;
  open_until_ns_ = now_ns + absl::ToInt64Nanoseconds(std::min(wait, options_.open_max));
}

}  // namespace alcove::gateway
