#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace alcove::gateway {

struct HealthOptions {
  absl::Duration interval = absl::Seconds(2);   // between active checks of one endpoint
  absl::Duration timeout = absl::Seconds(1);    // of one check
  uint32_t unhealthy_after = 2;                 // consecutive failed checks
  uint32_t healthy_after = 1;                   // consecutive passed checks: one, so recovery takes one interval
  uint32_t eject_after = 5;                     // consecutive failed requests (passive); 0: never eject
  absl::Duration eject_for = absl::Seconds(5);  // first ejection; grows linearly with repeated ones
  absl::Duration eject_max = absl::Seconds(60);
};

// Two independent opinions on one endpoint, joined: what the active checks say, and what real traffic shows. A passing
// active check also ends an ejection.
//
// Pure: time is an argument. Thread safety: none.
class EndpointHealth {
 public:
  explicit EndpointHealth(HealthOptions options = {}) : options_(options) {}

  void OnCheck(bool passed, int64_t now_ns);
  void OnRequest(bool succeeded, int64_t now_ns);
  // May traffic be sent there? True before the first check, so that a gateway serves at once.
  bool Healthy(int64_t now_ns) const { return active_healthy_ && !Ejected(now_ns); }
  bool Ejected(int64_t now_ns) const { return now_ns < ejected_until_ns_; }
  bool active_healthy() const { return active_healthy_; }
  bool checked() const { return checked_; }

 private:
  HealthOptions options_;
  bool active_healthy_ = true;
  bool checked_ = false;
  uint32_t check_failures_ = 0;
  uint32_t check_passes_ = 0;
  uint32_t request_failures_ = 0;
  uint32_t ejections_ = 0;
  int64_t ejected_until_ns_ = 0;
};

}  // namespace alcove::gateway
