// Asks a process on this machine whether it is ready.
#pragma once

#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "tools/alcovectl/stack/plan.h"

namespace alcove::ctl {

// True when GET /health/ready answers 200, or Redis answers PING, within `timeout`. Never blocks for longer.
bool IsReady(const std::string& address, Probe probe, absl::Duration timeout);

// The body of an HTTP GET, at most 1 MiB. UNAVAILABLE when nobody answers in time.
absl::StatusOr<std::string> HttpGet(const std::string& address, absl::string_view path, absl::Duration timeout);

}  // namespace alcove::ctl
