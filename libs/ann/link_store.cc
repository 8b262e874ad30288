#include "libs/ann/link_store.h"

#include <algorithm>

#include "libs/common/status.h"

namespace alcove::ann {

absl::Status LinkStore::Reserve(size_t max_nodes) {
  ALCOVE_RETURN_IF_ERROR(base_.Reserve(max_nodes * 2 * m_ * 4));
  ALCOVE_RETURN_IF_ERROR(upper_at_.Reserve(max_nodes * 4));
  // A node has 1 / (m - 1) upper layers on average; four times that leaves room for any draw.
  ALCOVE_RETURN_IF_ERROR(upper_.Reserve(std::min<size_t>(size_t{1} << 34, (max_nodes * 6 + 65536) * 4)));
  return states_.Reserve(max_nodes);
}

absl::Status LinkStore::Grow(size_t nodes, bool exact) {
  ALCOVE_RETURN_IF_ERROR(base_.Grow(nodes * 2 * m_ * 4, exact));
  ALCOVE_RETURN_IF_ERROR(upper_at_.Grow(nodes * 4, exact));
  return states_.Grow(nodes, exact);
}

absl::Status LinkStore::Init(NodeId node, int level) {
  Recycle(node);
  uint32_t at = 0;
  if (level > 0) {
    std::lock_guard lock(upper_mutex_);
    const size_t words = 1 + static_cast<size_t>(level) * m_;
    if (!upper_free_[level].empty()) {
      at = upper_free_[level].back();
      upper_free_[level].pop_back();
    } else {
      ALCOVE_RETURN_IF_ERROR(upper_.Grow((upper_used_ + words) * 4));
      at = static_cast<uint32_t>(upper_used_);
      upper_used_ += words;
    }
    upper_.as<uint32_t>()[at] = static_cast<uint32_t>(level);
  }
  upper_at_.as<uint32_t>()[node] = at;
  for (int l = 0; l <= level; ++l) {
    Link* const places = links(node, l);
    for (size_t i = 0; i < capacity(l); ++i) places[i].store(kNoNode, std::memory_order_relaxed);
  }
  set_state(node, kAlive);
  return absl::OkStatus();
}

void LinkStore::Recycle(NodeId node) {
  uint32_t& at = upper_at_.as<uint32_t>()[node];
  if (at == 0) return;
  std::lock_guard lock(upper_mutex_);
  upper_free_[upper_.as<uint32_t>()[at]].push_back(at);
  at = 0;
}

size_t LinkStore::Read(NodeId node, int level, NodeId* out) const {
  const Link* const places = links(node, level);
  const size_t most = capacity(level);
  size_t count = 0;
  while (count < most) {
    const NodeId next = places[count].load(std::memory_order_acquire);
    if (next == kNoNode) break;
    out[count++] = next;
  }
  return count;
}

void LinkStore::Write(NodeId node, int level, absl::Span<const NodeId> links_now) {
  Link* const places = links(node, level);
  for (size_t i = 0; i < links_now.size(); ++i) places[i].store(links_now[i], std::memory_order_release);
  for (size_t i = links_now.size(); i < capacity(level); ++i) places[i].store(kNoNode, std::memory_order_release);
}

}  // namespace alcove::ann
