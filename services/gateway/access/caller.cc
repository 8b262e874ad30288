#include "services/gateway/access/caller.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "libs/common/status.h"
#include "libs/common/text.h"
#include "services/gateway/rest/text_view.h"

namespace alcove::gateway {
namespace {

// Whole seconds, rounded up, so that a client that waits for them is let through.
int64_t CeilSeconds(int64_t ns) { return (std::max<int64_t>(ns, 0) + 999'999'999) / 1'000'000'000; }

}  // namespace

bool Caller::Allows(AccessScope scope) const {
  switch (scope) {
    case AccessScope::kPublic: return true;
    case AccessScope::kRead: return read || admin;
    case AccessScope::kWrite: return write || admin;
    case AccessScope::kAdmin: return admin;
  }
  return false;
}

absl::Status CheckScope(const Caller& caller, AccessScope scope) {
  if (caller.Allows(scope)) return absl::OkStatus();
  return WithReason(absl::PermissionDeniedError(
                        absl::StrCat("this call needs a key with the scope \"", ToAbsl(AccessScopeName(scope)), "\"")),
                    "SCOPE_MISSING");
}

absl::Status RateLimited(const KeyUsage& usage, const GcraDecision& decision) {
  return WithReason(
      WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat("this key may make ", usage.rate_per_second(),
                                                               " requests a second; wait before the next one")),
                     absl::Nanoseconds(std::max<int64_t>(decision.retry_after_ns, 0))),
      "RATE_LIMITED");
}

void AddRateLimitHeaders(const KeyUsage& usage, const GcraDecision& decision, net::HeaderList& headers) {
  const int64_t burst = std::llround(usage.burst());
  const int64_t remaining = std::max<int64_t>(0, static_cast<int64_t>(decision.remaining));
  const int64_t window = std::max<int64_t>(1, std::llround(usage.burst() / usage.rate_per_second()));
  const int64_t reset = CeilSeconds(decision.reset_after_ns);
  headers.AddLower("x-ratelimit-limit-requests", absl::StrCat(burst));
  headers.AddLower("x-ratelimit-remaining-requests", absl::StrCat(remaining));
  const absl::Duration until_full = absl::Milliseconds(decision.reset_after_ns / 1'000'000);
  headers.AddLower("x-ratelimit-reset-requests",
                   until_full == absl::ZeroDuration() ? "0s" : FormatDurationShort(until_full));
  headers.AddLower("ratelimit-policy", absl::StrCat("\"key\";q=", burst, ";w=", window));
  headers.AddLower("ratelimit", absl::StrCat("\"key\";r=", remaining, ";t=", reset));
  if (!decision.allowed) {
    headers.AddLower("retry-after", absl::StrCat(std::max<int64_t>(1, CeilSeconds(decision.retry_after_ns))));
  }
}

}  // namespace alcove::gateway
