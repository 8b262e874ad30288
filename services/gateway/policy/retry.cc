#include "services/gateway/policy/retry.h"

#include <algorithm>
#include <charconv>

namespace alcove::gateway {

void RetryBudget::Refill(int64_t now_ns) {
  if (last_ns_ != 0 && now_ns > last_ns_ && tokens_ < options_.reserve) {
    const double seconds = static_cast<double>(now_ns - last_ns_) * 1e-9;
    tokens_ = std::min(options_.reserve, tokens_ + seconds * options_.reserve_per_second);
  }
  last_ns_ = now_ns;
}

void RetryBudget::OnRequest(int64_t now_ns) {
  Refill(now_ns);
  tokens_ = std::min(options_.max_tokens, tokens_ + options_.ratio);
}

bool RetryBudget::TryRetry(int64_t now_ns) {
  Refill(now_ns);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

std::optional<absl::Duration> NextAttemptDelay(const RetryPolicy& policy, uint32_t attempts_made, bool idempotent,
                                               const AttemptOutcome& outcome, uint64_t random) {
  if (outcome.response_started || attempts_made >= policy.max_attempts) return std::nullopt;
  if (!outcome.unprocessed && !(idempotent && outcome.code == absl::StatusCode::kUnavailable)) return std::nullopt;
  if (outcome.pushback) {
    int64_t wait_ms = 0;
    const std::string_view text = *outcome.pushback;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wait_ms);
    if (error != std::errc() || end != text.data() + text.size() || wait_ms < 0) return std::nullopt;
    return absl::Milliseconds(wait_ms);
  }
  if (outcome.unprocessed && attempts_made == 1) return absl::ZeroDuration();
  absl::Duration ceiling = policy.base_backoff;
  for (uint32_t i = 1; i < attempts_made && ceiling < policy.max_backoff; ++i) ceiling *= 2;
  ceiling = std::min(ceiling, policy.max_backoff);
  const double fraction = static_cast<double>(random >> 11) * 0x1p-53;
  return ceiling * fraction;
}

}  // namespace alcove::gateway
