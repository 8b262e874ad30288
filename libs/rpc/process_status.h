// The facts every process reports about itself in its GetStatus method.
#pragma once

#include <ctime>

#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "alcove/common/v1/status.pb.h"
#include "libs/common/memory.h"
#include "libs/common/version.h"

namespace alcove::rpc {

// Fills in everything but the service's own facts. `health` is HEALTH_SERVING; change it afterwards when it is not so.
inline void DescribeProcess(absl::string_view service, absl::string_view address, absl::Time started_at,
                            common::v1::ProcessStatus* status) {
  status->set_service(std::string(service));
  status->set_address(std::string(address));
  status->set_health(common::v1::HEALTH_SERVING);
  status->set_version(kVersion);
  const int64_t nanos = absl::ToUnixNanos(started_at);
  status->mutable_started_at()->set_seconds(nanos / 1'000'000'000);
  status->mutable_started_at()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  status->set_resident_bytes(static_cast<int64_t>(ResidentBytes()));
  status->set_cpu_seconds(static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
}

}  // namespace alcove::rpc
