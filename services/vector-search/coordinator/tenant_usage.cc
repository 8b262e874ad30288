#include "services/vector-search/coordinator/tenant_usage.h"

namespace alcove::vector_search {

absl::StatusOr<Usage> TenantUsage::Current(const std::string& tenant, absl::Time now,
                                           absl::FunctionRef<absl::StatusOr<Usage>()> measure) {
  {
    absl::MutexLock lock(&mutex_);
    const Known& known = tenants_[tenant];
    if (now - known.at < kFresh) return known.usage;
  }
  const absl::StatusOr<Usage> measured = measure();
  absl::MutexLock lock(&mutex_);
  Known& known = tenants_[tenant];
  if (!measured.ok()) {
    if (known.at == absl::InfinitePast()) return measured.status();
    return known.usage;
  }
  known = {*measured, now};
  return *measured;
}

void TenantUsage::Add(const std::string& tenant, const Usage& more) {
  absl::MutexLock lock(&mutex_);
  Known& known = tenants_[tenant];
  known.usage.points += more.points;
  known.usage.bytes += more.bytes;
}

}  // namespace alcove::vector_search
