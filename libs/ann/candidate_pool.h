#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "libs/ann/node_store.h"

namespace alcove::ann {

struct Candidate {
  float distance;
  uint32_t tagged;  // node, and kExpanded once its links have been followed
  static constexpr uint32_t kExpanded = uint32_t{1} << 31;
  NodeId node() const { return tagged & ~kExpanded; }
};

// The best `capacity` candidates seen, sorted by distance, with a cursor at the nearest one not yet expanded. Insertion
// moves at most capacity * 8 bytes, which beats heaps for the sizes searches use (tens to hundreds).
//
// Invariants: sorted; every candidate before the cursor is expanded.
class CandidatePool {
 public:
  void Reset(size_t capacity) {
    capacity_ = capacity;
    if (items_.size() < capacity + 1) items_.resize(capacity + 1);
    size_ = cursor_ = 0;
  }

  // What a distance must be below to enter.
  float threshold() const { return size_ < capacity_ ? 3.4e38f : items_[size_ - 1].distance; }

  // Inserts if below threshold(). Returns whether it did.
  bool Insert(float distance, NodeId node) {
    if (!(distance < threshold())) return false;
    size_t low = 0, high = size_;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (items_[middle].distance <= distance) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    Candidate* at = items_.data() + low;
    const size_t tail = (size_ < capacity_ ? size_ : capacity_ - 1) - low;
    std::memmove(at + 1, at, tail * sizeof(Candidate));
    *at = {distance, node};
    if (size_ < capacity_) ++size_;
    if (low < cursor_) cursor_ = low;
    return true;
  }

  bool HasNext() const { return cursor_ < size_; }
  // Marks the nearest unexpanded candidate as expanded and returns it.
  NodeId Next() {
    Candidate& candidate = items_[cursor_];
    const NodeId node = candidate.node();
    candidate.tagged |= Candidate::kExpanded;
    while (cursor_ < size_ && (items_[cursor_].tagged & Candidate::kExpanded)) ++cursor_;
    return node;
  }
  // The candidate Next() would return; call only if HasNext().
  NodeId Peek() const { return items_[cursor_].node(); }

  size_t size() const { return size_; }
  const Candidate& operator[](size_t i) const { return items_[i]; }
  size_t bytes() const { return items_.capacity() * sizeof(Candidate); }

 private:
  std::vector<Candidate> items_;
  size_t capacity_ = 0, size_ = 0, cursor_ = 0;
};

// A set of nodes that forgets in time proportional to what was inserted; one bit a node, so it stays in the cache.
class VisitedSet {
 public:
  void Reset(size_t nodes) {
    for (size_t i = 0; i < touched_count_; ++i) words_[touched_[i]] = 0;
    touched_count_ = 0;
    if (words_.size() * 64 < nodes) {
      words_.resize((nodes + nodes / 8) / 64 + 1);
      touched_.resize(words_.size() + 1);
    }
  }
  // Returns whether it was new. Nodes beyond the size given to Reset() (inserted since) count as visited.
  bool Insert(NodeId node) {
    const size_t word = node / 64;
    if (word >= words_.size()) return false;
    const uint64_t bit = uint64_t{1} << (node % 64);
    const uint64_t old = words_[word];
    // Written always and counted only for the first bit of a word: no branch to mispredict.
    touched_[touched_count_] = static_cast<uint32_t>(word);
    touched_count_ += old == 0;
    words_[word] = old | bit;
    return (old & bit) == 0;
  }
  size_t bytes() const { return words_.capacity() * 8 + touched_.capacity() * 4; }

 private:
  std::vector<uint64_t> words_;
  std::vector<uint32_t> touched_;  // words that are not zero
  size_t touched_count_ = 0;
};

}  // namespace alcove::ann
