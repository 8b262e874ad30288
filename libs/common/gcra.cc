#include "libs/common/gcra.h"

#include <algorithm>

namespace alcove {

Gcra::Gcra(double rate_per_second, double burst)
    : interval_ns_(1e9 / std::max(rate_per_second, 1e-6)), tolerance_ns_(interval_ns_ * std::max(burst, 1.0)) {}

GcraDecision Gcra::Peek(double cost, int64_t now_ns) const {
  // `arrival` is when the bucket will be full again; it is at most `tolerance` ahead of now.
  const double now = static_cast<double>(now_ns);
  const double arrival = std::max(arrival_ns_, now);
  const double after = arrival + cost * interval_ns_;
  GcraDecision decision;
  // Half a nanosecond of slack absorbs rounding of intervals that are not whole.
  decision.allowed = after - now <= tolerance_ns_ + 0.5;
  const double used = decision.allowed ? after - now : arrival - now;
  decision.remaining = std::max(0.0, (tolerance_ns_ - used) / interval_ns_);
  decision.reset_after_ns = static_cast<int64_t>(used);
  if (!decision.allowed) {
    decision.retry_after_ns = cost * interval_ns_ > tolerance_ns_ + 0.5
                                  ? -1
                                  : std::max<int64_t>(1, static_cast<int64_t>(after - now - tolerance_ns_ + 0.999));
  }
  return decision;
}

GcraDecision Gcra::Take(double cost, int64_t now_ns) {
  const GcraDecision decision = Peek(cost, now_ns);
  if (decision.allowed) arrival_ns_ = std::max(arrival_ns_, static_cast<double>(now_ns)) + cost * interval_ns_;
  return decision;
}

void Gcra::Refund(double cost, int64_t now_ns) {
  arrival_ns_ = std::max(arrival_ns_ - cost * interval_ns_, static_cast<double>(now_ns));
}

}  // namespace alcove
