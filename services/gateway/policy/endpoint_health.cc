#include "services/gateway/policy/endpoint_health.h"

#include <algorithm>

namespace alcove::gateway {

void EndpointHealth::OnCheck(bool passed, int64_t now_ns) {
  checked_ = true;
  if (passed) {
    check_failures_ = 0;
    if (++check_passes_ < options_.healthy_after) return;
    active_healthy_ = true;
    if (Ejected(now_ns)) {
      ejected_until_ns_ = now_ns;
      request_failures_ = 0;
    }
  } else {
    check_passes_ = 0;
    if (++check_failures_ >= options_.unhealthy_after) active_healthy_ = false;
  }
}

void EndpointHealth::OnRequest(bool succeeded, int64_t now_ns) {
  if (succeeded) {
    request_failures_ = 0;
    ejections_ = 0;
    return;
  }
  if (options_.eject_after == 0 || Ejected(now_ns)) return;
  if (++request_failures_ < options_.eject_after) return;
  request_failures_ = 0;
  ++ejections_;
  const absl::Duration wait = std::min(options_.eject_for * ejections_, options_.eject_max);
  ejected_until_ns_ = now_ns + absl::ToInt64Nanoseconds(wait);
}

}  // namespace alcove::gateway
