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
#include "libs/common/memory.h"

namespace alcove::ann {

// The edges of an HNSW graph (Malkov and Yashunin, 2018): up to 2m links a node on the base layer, m on each layer
// above, unused places empty from the end.
//
// Links are packed into 64-bit words: three of 21 bits while there are fewer than kNarrowNodes nodes, two of 32 bits in
// a store made for more. 24 links are then one cache line.
//
// Thread safety: readers follow links without locks; each word is atomic, and a node is linked only after it is
// written, so a reader may see a list half old and half new but never a node that is not there. Writers of a node's
// links hold its lock(). Grow and Init need outside locking.
class LinkStore {
 public:
  using Word = std::atomic<uint64_t>;
  static_assert(sizeof(Word) == 8 && Word::is_always_lock_free);

  static constexpr int kMaxLevel = 24;
  static constexpr size_t kNarrowNodes = (size_t{1} << 21) - 1;

  // A store that is not wide takes up to `narrow_nodes` nodes.
  LinkStore(size_t m, bool wide, size_t narrow_nodes = kNarrowNodes)
      : m_(m), wide_(wide), narrow_nodes_(narrow_nodes) {}
  absl::Status Reserve(size_t max_nodes);
  // See GrowableArray::Grow. OUT_OF_RANGE when only a wide store can name so many nodes.
  absl::Status Grow(size_t nodes, bool exact = false);

  // Empties the node's links and gives it places on layers 1..level, taking back those it had in an earlier life.
  absl::Status Init(NodeId node, int level);

  size_t m() const { return m_; }
  bool wide() const { return wide_; }
  size_t capacity(int level) const { return level == 0 ? 2 * m_ : m_; }
  int level(NodeId node) const {
    const uint32_t at = upper_at_.as<uint32_t>()[node];
    return at == 0 ? 0 : static_cast<int>(upper_.as<uint64_t>()[at]);
  }

  void PrefetchLinks(NodeId node, int level) const {
    const Word* at = places(node, level);
    for (size_t i = 0; i < words(level); i += 8) PrefetchForRead(at + i);
    // A list may straddle one more line.
    PrefetchForRead(at + words(level) - 1);
  }

  // Copies the links into `out`, which has room for capacity(level) + 2; returns how many.
  size_t Read(NodeId node, int level, NodeId* out) const {
    const Word* const at = places(node, level);
    const size_t words = this->words(level);
    size_t count = 0;
    if (wide_) {
      for (size_t i = 0; i < words; ++i) {
        const uint64_t word = at[i].load(std::memory_order_acquire);
        out[count] = static_cast<NodeId>(word);
        out[count + 1] = static_cast<NodeId>(word >> 32);
        count += 2;
        if (out[count - 1] == kNoNode) break;
      }
      while (count > 0 && out[count - 1] == kNoNode) --count;
      return count;
    }
    for (size_t i = 0; i < words; ++i) {
      const uint64_t word = at[i].load(std::memory_order_acquire);
      out[count] = static_cast<NodeId>(word & kNarrowNone);
      out[count + 1] = static_cast<NodeId>(word >> 21 & kNarrowNone);
      out[count + 2] = static_cast<NodeId>(word >> 42 & kNarrowNone);
      count += 3;
      if (out[count - 1] == kNarrowNone) break;
    }
    while (count > 0 && out[count - 1] == kNarrowNone) --count;
    return count;
  }
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
  static constexpr uint64_t kNarrowNone = kNarrowNodes;

  size_t words(int level) const { return wide_ ? (capacity(level) + 1) / 2 : (capacity(level) + 2) / 3; }
  Word* places(NodeId node, int level) const {
    if (level == 0) return base_.as<Word>() + size_t{node} * words(0);
    return upper_.as<Word>() + upper_at_.as<uint32_t>()[node] + 1 + static_cast<size_t>(level - 1) * words(1);
  }
  void Recycle(NodeId node);

  static constexpr size_t kLocks = 1024;

  const size_t m_;
  const bool wide_;
  const size_t narrow_nodes_;
  GrowableArray base_;      // Word[words(0)] a node
  GrowableArray upper_at_;  // where in upper_, 0: base layer only
  GrowableArray upper_;     // level, then Word[words(1)] for each layer from 1
  GrowableArray states_;
  size_t upper_used_ = 1;
  std::vector<uint32_t> upper_free_[kMaxLevel + 1];
  std::mutex upper_mutex_;
  std::unique_ptr<std::mutex[]> locks_{new std::mutex[kLocks]};
};

}  // namespace alcove::ann
