#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "libs/ann/node_store.h"
#include "libs/simd/kernels.h"

namespace alcove::ann {

// The best `capacity` candidates seen, sorted by distance, with a cursor at the nearest one not yet expanded. Insertion
// moves at most capacity * 8 bytes, which beats heaps for the sizes searches use (tens to hundreds).
//
// Invariants: sorted; every candidate before the cursor is expanded.
class CandidatePool {
 public:
  void Reset(size_t capacity) {
    capacity_ = capacity;
    if (distances_.size() < capacity + 1) {
      distances_.resize(capacity + 1);
      tagged_.resize(capacity + 1);
    }
    size_ = cursor_ = 0;
  }

  // Keeps the nearest `capacity` and makes all of them candidates again.
  void Restart(size_t capacity) {
    const size_t kept = std::min(size_, capacity);
    if (distances_.size() < capacity + 1) {
      distances_.resize(capacity + 1);
      tagged_.resize(capacity + 1);
    }
    for (size_t i = 0; i < kept; ++i) tagged_[i] &= ~kExpanded;
    capacity_ = capacity;
    size_ = kept;
    cursor_ = 0;
  }

  // What a distance must be below to enter.
  float threshold() const { return size_ < capacity_ ? 3.4e38f : distances_[size_ - 1]; }

  void Insert(float distance, NodeId node) {
    const size_t place = kernels_.insert_sorted(distances_.data(), tagged_.data(), size_, capacity_, distance, node);
    if (place == capacity_) return;
    if (size_ < capacity_) ++size_;
    if (place < cursor_) cursor_ = place;
  }
  // Inserts those of count <= NodeStore::kBatch nodes that are near enough.
  void InsertBatch(const float* distances, const NodeId* nodes, size_t count) {
    uint32_t near[NodeStore::kBatch + 16];
    const size_t found = kernels_.below_f32(distances, count, threshold(), near);
    for (size_t i = 0; i < found; ++i) Insert(distances[near[i]], nodes[near[i]]);
  }

  bool HasNext() const { return cursor_ < size_; }
  // Marks the nearest unexpanded candidate as expanded and returns it.
  NodeId Next() {
    const NodeId node = tagged_[cursor_];
    tagged_[cursor_] |= kExpanded;
    while (cursor_ < size_ && (tagged_[cursor_] & kExpanded)) ++cursor_;
    return node;
  }
  // The candidate Next() would return, and its distance; call only if HasNext().
  NodeId Peek() const { return tagged_[cursor_]; }
  float PeekDistance() const { return distances_[cursor_]; }

  size_t size() const { return size_; }
  NodeId node(size_t i) const { return tagged_[i] & ~kExpanded; }
  float distance(size_t i) const { return distances_[i]; }
  size_t bytes() const { return distances_.capacity() * 8; }

 private:
  static constexpr uint32_t kExpanded = uint32_t{1} << 31;

  const simd::Kernels& kernels_ = simd::Best();
  std::vector<float> distances_;
  std::vector<uint32_t> tagged_;  // node, and kExpanded once its links have been followed
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
