#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "libs/ann/index.h"

namespace alcove::ann {

// Keeps the k best neighbours: higher score first, then lower row.
class TopK {
 public:
  explicit TopK(size_t k) : k_(k) { heap_.reserve(std::min<size_t>(k, 1024)); }

  void Offer(RowId row, float score) {
    const Neighbor candidate{row, score};
    if (heap_.size() < k_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end(), Better);
    } else if (Better(candidate, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), Better);
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end(), Better);
    }
  }

  // Best first. Empties the collector.
  std::vector<Neighbor> Take() {
    std::sort_heap(heap_.begin(), heap_.end(), Better);
    return std::move(heap_);
  }

  static bool Better(const Neighbor& a, const Neighbor& b) {
    return a.score != b.score ? a.score > b.score : a.row < b.row;
  }

 private:
  size_t k_;
  std::vector<Neighbor> heap_;  // worst on top
};

}  // namespace alcove::ann
