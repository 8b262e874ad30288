#include "services/cache/tiers/tag_table.h"

#include <algorithm>
#include <vector>

namespace alcove::cache {

void TagTable::Raise(const std::string& tag, absl::Time stamp) {
  absl::MutexLock lock(&mutex_);
  if (stamps_.size() >= max_tags_ && !stamps_.contains(tag)) {
    std::vector<absl::Time> times;
    times.reserve(stamps_.size());
    for (const auto& [name, time] : stamps_) times.push_back(time);
    const auto middle = times.begin() + static_cast<ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    floor_ = std::max(floor_, *middle);
    absl::erase_if(stamps_, [this](const auto& item) ABSL_NO_THREAD_SAFETY_ANALYSIS { return item.second <= floor_; });
  }
  absl::Time& known = stamps_.try_emplace(tag, absl::InfinitePast()).first->second;
  known = std::max(known, stamp);
}

void TagTable::InvalidateAll(absl::Time at) {
  absl::MutexLock lock(&mutex_);
  floor_ = std::max(floor_, at);
  absl::erase_if(stamps_, [this](const auto& item) ABSL_NO_THREAD_SAFETY_ANALYSIS { return item.second <= floor_; });
}

bool TagTable::IsValid(const CachedValue& entry) const {
  if (entry.tags.empty()) return true;
  absl::MutexLock lock(&mutex_);
  if (entry.born <= floor_) return false;
  for (const std::string& tag : entry.tags) {
    const auto it = stamps_.find(tag);
    if (it != stamps_.end() && entry.born <= it->second) return false;
  }
  return true;
}

size_t TagTable::size() const {
  absl::MutexLock lock(&mutex_);
  return stamps_.size();
}

}  // namespace alcove::cache
