#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "alcove/gateway/v1/gateway.pb.h"
#include "libs/common/request_context.h"
#include "services/gateway/flows/backends.h"

namespace alcove::gateway {

// One process the gateway knows of.
struct KnownProcess {
  std::string service;  // "vector-search"
  std::string address;  // "127.0.0.1:7110"
};

// Asks one process, not whichever a balancer picks. The reply is the serialized message of the method.
class ProcessProbe {
 public:
  virtual ~ProcessProbe() = default;
  virtual asio::awaitable<absl::StatusOr<std::string>> Ask(RequestContext ctx, KnownProcess process, std::string method,
                                                           std::string request, absl::Duration timeout) = 0;
};

// alcove.gateway.v1.StatusService/GetStatus: the gateway first, then every known process, asked at the same time. One
// that does not answer within kPatience is reported HEALTH_DOWN with the reason.
asio::awaitable<absl::StatusOr<v1::GetStatusResponse>> GetSuiteStatus(ProcessProbe& probe,
                                                                      std::vector<KnownProcess> processes,
                                                                      alcove::common::v1::ProcessStatus self,
                                                                      RequestContext ctx);

inline constexpr absl::Duration kStatusPatience = absl::Seconds(1);

// Version, start time, memory and processor time of this process.
alcove::common::v1::ProcessStatus DescribeThisProcess(std::string_view service, std::string_view address,
                                                      std::string_view version, absl::Time started_at);

}  // namespace alcove::gateway
