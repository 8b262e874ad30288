#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace alcove::gateway {

// Bounds retries to a share of real traffic, so that a failing backend is not buried under them (Finagle's retry
// budget): each request deposits `ratio` tokens, each retry takes one; `reserve` tokens exist at the start and refill
// at `reserve_per_second`, so that a quiet service may still retry.
//
// Pure: time is an argument. Thread safety: none.
class RetryBudget {
 public:
  struct Options {
    double ratio = 0.1;
    double reserve = 10;
    double reserve_per_second = 1;
    double max_tokens = 100;
  };
  RetryBudget() : RetryBudget(Options()) {}
  explicit RetryBudget(Options options) : options_(options), tokens_(options.reserve) {}
  void OnRequest(int64_t now_ns);
  bool TryRetry(int64_t now_ns);
  double tokens() const { return tokens_; }

 private:
  void Refill(int64_t now_ns);
  Options options_;
  double tokens_;
  int64_t last_ns_ = 0;
};

struct RetryPolicy {
  uint32_t max_attempts = 3;  // the first one included
  absl::Duration base_backoff = absl::Milliseconds(20);
  absl::Duration max_backoff = absl::Seconds(1);
};

// How an attempt ended.
struct AttemptOutcome {
  absl::StatusCode code = absl::StatusCode::kOk;
  bool unprocessed = false;       // the backend certainly did nothing: connect failure, REFUSED_STREAM, GOAWAY
  bool response_started = false;  // something already reached the caller
  std::optional<std::string_view> pushback;  // grpc-retry-pushback-ms as received
};

// The wait before the next attempt, or nullopt when there must be none.
//  - nothing is retried once a response has started, or when attempts are used up;
//  - unprocessed attempts may always be retried, idempotent calls also after UNAVAILABLE;
//  - a pushback of n ≥ 0 ms replaces the backoff, a negative or garbled one forbids the retry (gRFC A6);
//  - otherwise exponential backoff with full jitter from `random`.
// `attempts_made` counts those finished, ≥ 1. Unprocessed first retries wait nothing.
std::optional<absl::Duration> NextAttemptDelay(const RetryPolicy& policy, uint32_t attempts_made, bool idempotent,
                                               const AttemptOutcome& outcome, uint64_t random);

}  // namespace alcove::gateway
