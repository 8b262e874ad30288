#pragma once

#include <cstdint>

namespace alcove {

// What a limiter answered, with what `x-ratelimit-*`, `RateLimit` and `Retry-After` need.
struct GcraDecision {
  bool allowed = false;
  double remaining = 0;  // further unit requests that would be allowed at once
  int64_t retry_after_ns =
      0;  // 0 when allowed; else the wait until this cost would be allowed; -1: never (cost > burst)
  int64_t reset_after_ns = 0;  // until the full burst is available again
};

// Generic cell rate algorithm (ITU-T I.371): a token bucket whose whole state is one timestamp, the theoretical arrival
// time. Allows `burst` at once and `rate_per_second` in the long run.
//
// Pure: the monotonic time is an argument. Thread safety: none.
class Gcra {
 public:
  Gcra() = default;
  // rate_per_second > 0 and burst ≥ 1; smaller values are raised to the smallest allowed ones.
  Gcra(double rate_per_second, double burst);

  // Takes `cost` units (≥ 0) if they are available.
  GcraDecision Take(double cost, int64_t now_ns);
  // The same answer without taking.
  GcraDecision Peek(double cost, int64_t now_ns) const;
  // Gives back units taken for work that did not happen.
  void Refund(double cost, int64_t now_ns);

  double rate_per_second() const { return 1e9 / interval_ns_; }
  double burst() const { return tolerance_ns_ / interval_ns_; }

 private:
  double interval_ns_ = 1e9;   // time one unit is worth
  double tolerance_ns_ = 1e9;  // interval × burst
  double arrival_ns_ = -1e18;  // theoretical arrival time of the next unit
};

}  // namespace alcove
