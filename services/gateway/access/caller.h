#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/common/gcra.h"
#include "libs/net/header_list.h"
#include "services/gateway/rest/access_scope.h"

namespace alcove::gateway {

// What one key has used, shared by all loops. Thread-safe.
class KeyUsage {
 public:
  KeyUsage(double rate_per_second, double burst) : limit_(rate_per_second, burst) {}

  // Counts one request.
  GcraDecision Take(int64_t now_ns) {
    absl::MutexLock lock(&mu_);
    return limit_.Take(1, now_ns);
  }
  void Touch(absl::Time now) { last_used_s_.store(absl::ToUnixSeconds(now), std::memory_order_relaxed); }
  // The time of the last use since the previous call; 0 when there was none.
  int64_t TakeLastUse() { return last_used_s_.exchange(0, std::memory_order_relaxed); }
  double rate_per_second() const { return limit_.rate_per_second(); }
  double burst() const { return limit_.burst(); }

 private:
  absl::Mutex mu_;
  Gcra limit_;  // its parameters never change; its state is guarded by mu_
  std::atomic<int64_t> last_used_s_{0};
};

// An authenticated caller. Immutable but for its usage; shared by the requests of one key.
struct Caller {
  std::string tenant;
  std::string key_id;  // empty when keys are not used
  bool read = false;
  bool write = false;
  bool admin = false;  // implies the others
  absl::Time expires_at = absl::InfiniteFuture();
  std::shared_ptr<KeyUsage> usage;  // null: no limit

  bool Allows(AccessScope scope) const;
};

// OK, or PERMISSION_DENIED naming the scope the key lacks.
absl::Status CheckScope(const Caller& caller, AccessScope scope);

// The error of a request refused by its rate limit: RESOURCE_EXHAUSTED with retry_after.
absl::Status RateLimited(const KeyUsage& usage, const GcraDecision& decision);

// x-ratelimit-{limit,remaining,reset}-requests (as OpenAI's API sends them), RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10), and retry-after for a refused request.
void AddRateLimitHeaders(const KeyUsage& usage, const GcraDecision& decision, net::HeaderList& headers);

}  // namespace alcove::gateway
