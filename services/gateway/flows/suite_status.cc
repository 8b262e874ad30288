#include "services/gateway/flows/suite_status.h"

#include <cstdio>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "alcove/cache/v1/cache.pb.h"
#include "alcove/inference/v1/inference.pb.h"
#include "alcove/private_search/v1/private_search.pb.h"
#include "alcove/vector/v1/shard.pb.h"
#include "libs/common/status.h"
#include "services/gateway/flows/parallel.h"

namespace alcove::gateway {
namespace {

namespace common = alcove::common::v1;

template <typename Reply>
bool TakeProcess(const std::string& bytes, common::ProcessStatus* out) {
  Reply reply;
  if (!reply.ParseFromString(bytes) || !reply.has_process()) return false;
  *out = std::move(*reply.mutable_process());
  return true;
}

struct StatusMethod {
  std::string_view service;
  const char* path;
  bool (*take)(const std::string& bytes, common::ProcessStatus* out);
};
constexpr StatusMethod kMethods[] = {
    {"inference", "/alcove.inference.v1.InferenceService/GetStatus",
     &TakeProcess<alcove::inference::v1::GetStatusResponse>},
    {"vector-search", "/alcove.vector.v1.ShardService/GetStatus", &TakeProcess<alcove::vector::v1::GetStatusResponse>},
    {"fhe-proxy", "/alcove.private_search.v1.PrivateSearchService/GetStatus",
     &TakeProcess<alcove::private_search::v1::GetStatusResponse>},
    {"cache", "/alcove.cache.v1.CacheService/GetStats", &TakeProcess<alcove::cache::v1::GetStatsResponse>},
};

bool Serves(common::Health health) { return health == common::HEALTH_SERVING || health == common::HEALTH_DEGRADED; }

}  // namespace

asio::awaitable<absl::StatusOr<v1::GetStatusResponse>> GetSuiteStatus(ProcessProbe& probe,
                                                                      std::vector<KnownProcess> processes,
                                                                      common::ProcessStatus self, RequestContext ctx) {
  v1::GetStatusResponse response;
  *response.add_processes() = std::move(self);
  for (const KnownProcess& process : processes) {
    common::ProcessStatus& status = *response.add_processes();
    status.set_service(process.service);
    status.set_address(process.address);
  }
  auto ask = [&](size_t index) -> asio::awaitable<bool> {
    const KnownProcess& process = processes[index];
    common::ProcessStatus& status = *response.mutable_processes(static_cast<int>(index) + 1);
    const StatusMethod* method = nullptr;
    for (const StatusMethod& candidate : kMethods) {
      if (candidate.service == process.service) method = &candidate;
    }
    if (method == nullptr) co_return true;
    absl::StatusOr<std::string> answer = co_await probe.Ask(ctx, process, method->path, "", kStatusPatience);
    common::ProcessStatus told;
    if (!answer.ok()) {
      status.set_health(common::HEALTH_DOWN);
      // The pool of one endpoint names itself; here the row says already which process is meant.
      status.set_reason(absl::StrReplaceAll(answer.status().message(),
                                            {{absl::StrCat(process.service, "@", process.address, " at "), ""}}));
    } else if (!method->take(*answer, &told)) {
      status.set_health(common::HEALTH_DOWN);
      status.set_reason("its answer cannot be read");
    } else {
      // What the process says of itself, under the address it was reached by.
      told.set_service(process.service);
      told.set_address(process.address);
      status = std::move(told);
    }
    co_return true;
  };
  co_await ForEachParallel(processes.size(), processes.size(), std::move(ask));

  absl::flat_hash_map<std::string, bool> serving;
  for (const common::ProcessStatus& status : response.processes()) serving[status.service()] |= Serves(status.health());
  bool ready = true;
  for (const auto& [service, serves] : serving) ready = ready && serves;
  response.set_ready(ready);
  co_return response;
}

common::ProcessStatus DescribeThisProcess(std::string_view service, std::string_view address, std::string_view version,
                                          absl::Time started_at) {
  common::ProcessStatus status;
  status.set_service(std::string(service));
  status.set_address(std::string(address));
  status.set_health(common::HEALTH_SERVING);
  status.set_version(std::string(version));
  status.mutable_started_at()->set_seconds(absl::ToUnixSeconds(started_at));
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    long total = 0, resident = 0;
    if (std::fscanf(file, "%ld %ld", &total, &resident) == 2) {
      status.set_resident_bytes(int64_t{resident} * ::sysconf(_SC_PAGESIZE));
    }
    std::fclose(file);
  }
  struct rusage usage {};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
    status.set_cpu_seconds(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  return status;
}

}  // namespace alcove::gateway
