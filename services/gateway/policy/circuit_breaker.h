#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace alcove::gateway {

struct CircuitBreakerOptions {
  uint32_t failures_to_open = 5;                // consecutive failures
  absl::Duration open_for = absl::Seconds(5);   // first wait before a probe; doubles each time a probe fails …
  absl::Duration open_max = absl::Seconds(60);  // … up to this
  uint32_t probes = 1;                          // requests let through at once while half-open
  uint32_t successes_to_close = 2;              // successful probes before it closes
};

// Stops sending to an endpoint that fails, then tries it with a few requests before trusting it again.
//
//   closed --failures_to_open in a row--> open --open_for--> half-open --successes_to_close--> closed
//                                          ^------------ any failure --------'
//
// Pure: the monotonic time is an argument. Thread safety: none; each loop has its own per endpoint.
class CircuitBreaker {
 public:
  enum class State : uint8_t { kClosed, kOpen, kHalfOpen };

  explicit CircuitBreaker(CircuitBreakerOptions options = {}) : options_(options) {}

  // Would Acquire succeed now? Changes nothing.
  bool CanAcquire(int64_t now_ns) const;
  // Takes permission for one request; each success must be followed by exactly one of OnSuccess, OnFailure,
  // OnAbandoned.
  bool Acquire(int64_t now_ns);
  void OnSuccess(int64_t now_ns);
  void OnFailure(int64_t now_ns);
  // The request ended for a reason that says nothing of the endpoint (the client cancelled).
  void OnAbandoned(int64_t now_ns);

  State state(int64_t now_ns) const;
  // Times the breaker has opened.
  uint64_t opened() const { return opened_; }

 private:
  void Open(int64_t now_ns);
  bool OpenExpired(int64_t now_ns) const { return now_ns >= open_until_ns_; }

  CircuitBreakerOptions options_;
  State state_ = State::kClosed;
  uint32_t failures_ = 0;
  uint32_t probes_in_flight_ = 0;
  uint32_t probe_successes_ = 0;
  uint32_t reopenings_ = 0;
  int64_t open_until_ns_ = 0;
  uint64_t opened_ = 0;
};

}  // namespace alcove::gateway
