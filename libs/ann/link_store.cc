#include "libs/ann/link_store.h"

#include <algorithm>

#include "libs/common/status.h"

namespace alcove::ann {

absl::Status LinkStore::Reserve(size_t max_nodes) {
  ALCOVE_RETURN_IF_ERROR(base_.Reserve(max_nodes * words(0) * 8));
  ALCOVE_RETURN_IF_ERROR(upper_at_.Reserve(max_nodes * 4));
  // A node has 1 / (m - 1) upper layers on average; four times that leaves room for any draw.
  ALCOVE_RETURN_IF_ERROR(upper_.Reserve(std::min<size_t>(size_t{1} << 35, (max_nodes * 6 + 65536) * 8)));
  return states_.Reserve(max_nodes);
}

absl::Status LinkStore::Grow(size_t nodes, bool exact) {
  if (!wide_ && nodes > narrow_nodes_) return absl::OutOfRangeError("links of 21 bits reach no further");
  ALCOVE_RETURN_IF_ERROR(base_.Grow(nodes * words(0) * 8, exact));
  ALCOVE_RETURN_IF_ERROR(upper_at_.Grow(nodes * 4, exact));
  return states_.Grow(nodes, exact);
}

absl::Status LinkStore::Init(NodeId node, int level) {
  Recycle(node);
  uint32_t at = 0;
  if (level > 0) {
    std::lock_guard lock(upper_mutex_);
    const size_t need = 1 + static_cast<size_t>(level) * words(1);
    if (!upper_free_[level].empty()) {
      at = upper_free_[level].back();
      upper_free_[level].pop_back();
    } else {
      ALCOVE_RETURN_IF_ERROR(upper_.Grow((upper_used_ + need) * 8));
      at = static_cast<uint32_t>(upper_used_);
      upper_used_ += need;
    }
    upper_.as<uint64_t>()[at] = static_cast<uint64_t>(level);
  }
  upper_at_.as<uint32_t>()[node] = at;
  for (int l = 0; l <= level; ++l) Write(node, l, {});
  set_state(node, kAlive);
  return absl::OkStatus();
}

void LinkStore::Recycle(NodeId node) {
  uint32_t& at = upper_at_.as<uint32_t>()[node];
  if (at == 0) return;
  std::lock_guard lock(upper_mutex_);
  upper_free_[upper_.as<uint64_t>()[at]].push_back(at);
  at = 0;
}

void LinkStore::Write(NodeId node, int level, absl::Span<const NodeId> links) {
  Word* const at = places(node, level);
  const size_t each = wide_ ? 2 : 3, bits = wide_ ? 32 : 21;
  const uint64_t none = wide_ ? kNoNode : kNarrowNone;
  for (size_t i = 0; i < words(level); ++i) {
    uint64_t word = 0;
    for (size_t j = 0; j < each; ++j) {
      const size_t k = i * each + j;
      word |= (k < links.size() ? uint64_t{links[k]} : none) << (j * bits);
    }
    at[i].store(word, std::memory_order_release);
  }
}

}  // namespace alcove::ann
