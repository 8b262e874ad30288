#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "libs/ann/growable_array.h"
#include "libs/ann/node_store.h"

namespace alcove::ann {

// The edges of an HNSW graph (Malkov and Yashunin, 2018): 2m links a node on the base layer, m on each layer above,
// unused places filled with kNoNode from the end.
//
// Thread safety: readers follow links without locks; each link is one atomic word, and a node is linked only after it
// is written, so a reader may see a list half old and half new but never a node that is not there. Writers of a node's
// links hold its lock(). Grow and Init need outside locking.
class LinkStore {
 public:
  using Link = std::atomic<uint32_t>;
  static_assert(sizeof(Link) == 4 && Link::is_always_lock_free);

  static constexpr int kMaxLevel = 24;

  explicit LinkStore(size_t m) : m_(m) {}
  absl::Status Reserve(size_t max_nodes);
  absl::Status Grow(size_t nodes, bool exact = false);  // see GrowableArray::Grow

  // Empties the node's links and gives it places on layers 1..level, taking back those it had in an earlier life.
  absl::Status Init(NodeId node, int level);

  size_t m() const { return m_; }
  size_t capacity(int level) const { return level == 0 ? 2 * m_ : m_; }
  int level(NodeId node) const {
    const uint32_t at = upper_at_.as<uint32_t>()[node];
    return at == 0 ? 0 : static_cast<int>(upper_.as<uint32_t>()[at]);
  }

  // The node's places on a layer, capacity(level) of them.
  Link* links(NodeId node, int level) const {
    if (level == 0) return base_.as<Link>() + size_t{node} * 2 * m_;
    return upper_.as<Link>() + upper_at_.as<uint32_t>()[node] + 1 + static_cast<size_t>(level - 1) * m_;
  }
  void PrefetchLinks(NodeId node) const {
    const Link* at = base_.as<Link>() + size_t{node} * 2 * m_;
    for (size_t i = 0; i < 2 * m_; i += 16) __builtin_prefetch(at + i, 0, 3);
  }

  // Copies the links into out[capacity(level)]; returns how many.
  size_t Read(NodeId node, int level, NodeId* out) const;
  // Replaces the links. Hold lock(node).
  void Write(NodeId node, int level, absl::Span<const NodeId> links);

  std::mutex& lock(NodeId node) const { return locks_[node % kLocks]; }

  // Tombstones. kDead: its row is gone, links still lead to it. kSwept: so since before the current sweep began.
  enum State : uint8_t { kAlive = 0, kDead = 1, kSwept = 2 };
  State state(NodeId node) const {
    return static_cast<State>(states_.as<std::atomic<uint8_t>>()[node].load(std::memory_order_acquire));
  }
  void set_state(NodeId node, State state) {
    states_.as<std::atomic<uint8_t>>()[node].store(state, std::memory_order_release);
  }

  size_t link_bytes() const { return base_.committed() + upper_.committed() + upper_at_.committed(); }
  size_t state_bytes() const { return states_.committed() + kLocks * sizeof(std::mutex); }

 private:
  void Recycle(NodeId node);

  static constexpr size_t kLocks = 1024;

  const size_t m_;
  GrowableArray base_;      // Link[2m] a node
  GrowableArray upper_at_;  // where in upper_, 0: base layer only
  GrowableArray upper_;     // level, then Link[m] for each layer from 1
  GrowableArray states_;
  size_t upper_used_ = 1;
  std::vector<uint32_t> upper_free_[kMaxLevel + 1];
  std::mutex upper_mutex_;
  std::unique_ptr<std::mutex[]> locks_{new std::mutex[kLocks]};
};

}  // namespace alcove::ann
