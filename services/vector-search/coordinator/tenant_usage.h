// What tenants hold, for their quotas: measured now and then, and what was written since added to it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace alcove::vector_search {

struct Usage {
  int64_t points = 0;
  int64_t bytes = 0;
};

// Thread-safe.
class TenantUsage {
 public:
  static constexpr absl::Duration kFresh = absl::Seconds(1);

  // The last measurement, taken anew by `measure` when it is older than kFresh, and what was added since. A failed
  // measurement leaves the last one standing. Blocking for as long as measuring takes.
  absl::StatusOr<Usage> Current(const std::string& tenant, absl::Time now,
                                absl::FunctionRef<absl::StatusOr<Usage>()> measure);
  // The tenant has written so much more.
  void Add(const std::string& tenant, const Usage& more);

 private:
  struct Known {
    Usage usage;
    absl::Time at = absl::InfinitePast();
  };
  absl::Mutex mutex_;
  std::map<std::string, Known> tenants_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace alcove::vector_search
