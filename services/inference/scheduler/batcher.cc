#include "services/inference/scheduler/batcher.h"

#include <algorithm>

#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>

namespace alcove::inference {

absl::StatusOr<Batcher::ItemId> Batcher::Add(absl::Time now, absl::Span<const size_t> tokens, Priority priority,
                                             absl::Time deadline) {
  if (items_.size() + tokens.size() > limits_.max_queued) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue holds ", items_.size(), " of at most ",
                                                     limits_.max_queued, " texts and has no room for ", tokens.size(),
                                                     " more; try again later or send fewer texts"));
  }
  const ItemId first = next_id_;
  for (const size_t count : tokens) {
    const ItemId id = next_id_++;
    items_.emplace(id, Item{id, count, priority, now, deadline});
    lanes_[static_cast<size_t>(priority)].push_back(id);
    ++waiting_[static_cast<size_t>(priority)];
    queued_tokens_ += count;
  }
  return first;
}

bool Batcher::Cancel(ItemId id) {
  const auto found = items_.find(id);
  if (found == items_.end()) return false;
  queued_tokens_ -= found->second.tokens;
  --waiting_[static_cast<size_t>(found->second.priority)];
  items_.erase(found);
  if (items_.empty()) {
    for (std::deque<ItemId>& lane : lanes_) lane.clear();
  }
  return true;
}

const Batcher::Item* Batcher::Front(size_t lane) {
  std::deque<ItemId>& ids = lanes_[lane];
  while (!ids.empty()) {
    const auto found = items_.find(ids.front());
    if (found != items_.end()) return &found->second;
    ids.pop_front();
  }
  return nullptr;
}

const Batcher::Item& Batcher::Oldest() const {
  const Item* oldest = nullptr;
  for (const std::deque<ItemId>& lane : lanes_) {
    for (const ItemId id : lane) {
      const auto found = items_.find(id);
      if (found == items_.end()) continue;
      if (oldest == nullptr || id < oldest->id) oldest = &found->second;
      break;
    }
  }
  return *oldest;
}

absl::Time Batcher::Due(bool running) const {
  if (items_.empty()) return absl::InfiniteFuture();
  if (items_.size() >= limits_.max_texts || queued_tokens_ >= limits_.max_tokens) return absl::InfinitePast();
  if (!limits_.wait_when_idle) {
    const bool urgent =
        waiting_[static_cast<size_t>(Priority::kHigh)] + waiting_[static_cast<size_t>(Priority::kCritical)];
    if (!running || urgent) return absl::InfinitePast();
  }
  const Item& oldest = Oldest();
  return oldest.id < released_ ? absl::InfinitePast() : oldest.enqueued + limits_.timeout;
}

Batcher::Batch Batcher::Take(absl::Time now, size_t idle_workers, bool running) {
  Batch batch;
  if (now < Due(running)) return batch;
  released_ = next_id_;
  const size_t workers = std::max<size_t>(idle_workers, 1);
  const size_t share = std::max(kSmallestShare, (queued_tokens_ + workers - 1) / workers);
  const size_t most_tokens = std::min(limits_.max_tokens, share);
  while (batch.items.size() < limits_.max_texts) {
    const Item* best = nullptr;
    size_t best_lane = 0;
    int64_t best_rank = 0;
    for (size_t lane = 0; lane < kPriorities; ++lane) {
      const Item* item = Front(lane);
      if (item == nullptr) continue;
      int64_t rank = static_cast<int64_t>(lane);
      if (limits_.ageing > absl::ZeroDuration()) {
        absl::Duration rest;
        rank += absl::IDivDuration(now - item->enqueued, limits_.ageing, &rest);
      }
      if (best == nullptr || rank > best_rank || (rank == best_rank && item->id < best->id)) {
        best = item;
        best_lane = lane;
        best_rank = rank;
      }
    }
    if (best == nullptr) break;
    const Item item = *best;
    const bool expired = item.deadline <= now;
    if (!expired && !batch.items.empty() && batch.tokens + item.tokens > most_tokens) break;
    lanes_[best_lane].pop_front();
    --waiting_[best_lane];
    items_.erase(item.id);
    queued_tokens_ -= item.tokens;
    if (expired) {
      batch.expired.push_back(item);
      continue;
    }
    batch.tokens += item.tokens;
    batch.items.push_back(item);
  }
  return batch;
}

}  // namespace alcove::inference
