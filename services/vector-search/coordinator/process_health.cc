#include "services/vector-search/coordinator/process_health.h"

#include <algorithm>

namespace alcove::vector_search {
namespace {

constexpr double kWeight = 0.1;  // of the newest call in the average

}  // namespace

void ProcessHealth::Began() {
  absl::MutexLock lock(&mutex_);
  ++in_flight_;
}

void ProcessHealth::Ended(absl::Time now, absl::Duration took, bool reached) {
  absl::MutexLock lock(&mutex_);
  --in_flight_;
  if (!reached) {
    ++failures_;
    away_until_ = now + std::min(kFirstAway * (1 << std::min(failures_ - 1, 10)), kLongestAway);
    return;
  }
  failures_ = 0;
  away_until_ = absl::InfinitePast();
  seconds_ += kWeight * (absl::ToDoubleSeconds(took) - seconds_);
}

bool ProcessHealth::Away(absl::Time now) const {
  absl::MutexLock lock(&mutex_);
  return now < away_until_;
}

double ProcessHealth::ExpectedSeconds() const {
  absl::MutexLock lock(&mutex_);
  return seconds_ * (in_flight_ + 1);
}

}  // namespace alcove::vector_search
