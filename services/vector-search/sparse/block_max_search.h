// Document-at-a-time top-k over posting lists that passes over what cannot reach the result. Source: S. Ding, T. Suel,
// "Faster top-k document retrieval using block-max indexes", SIGIR 2011. Exact: the result equals that of scoring every
// row, bit for bit, because bounds are compared with a margin above rounding and a row's terms are always added in the
// order of the query.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include <absl/functional/function_ref.h>

#include "services/vector-search/collection/row_set.h"
#include "services/vector-search/sparse/posting_list.h"

namespace alcove::vector_search {

struct SparseHit {
  Row row = 0;
  float score = 0;
  friend bool operator==(const SparseHit&, const SparseHit&) = default;
};

// Best first, equal scores by row.
inline bool HitRanksBefore(const SparseHit& a, const SparseHit& b) {
  return a.score != b.score ? a.score > b.score : a.row < b.row;
}

namespace sparse_internal {

struct Leg {
  PostingCursor cursor;
  float weight;
  double bound;  // of any row of the list
};

// Above the rounding of float products and of sums of a thousand terms.
inline constexpr double kMargin = 1 + 1e-4;

}  // namespace sparse_internal

// Scorer: `double Bound(float weight, float low, float high)` is at least what a posting whose impact lies in
// [low, high] adds, and at least 0; `auto Row(row)` prepares a row; `float Score(prepared, weight, value)` is what one
// posting adds. `legs` are in the order of the query. `stop`, asked now and then, ends the search with what was found.
template <typename Scorer>
std::vector<SparseHit> BlockMaxSearch(std::vector<sparse_internal::Leg>& legs, const Scorer& scorer, size_t k,
                                      const RowBitmap* filter, absl::FunctionRef<bool()> stop) {
  using sparse_internal::kMargin;
  using sparse_internal::Leg;
  constexpr Row kEnd = PostingCursor::kEnd;
  std::vector<SparseHit> heap;  // the worst of the best k in front
  if (k == 0) return heap;
  heap.reserve(std::min<size_t>(k, 1024));
  double threshold = -std::numeric_limits<double>::infinity();

  std::vector<Leg*> order;
  for (Leg& leg : legs) order.push_back(&leg);
  const auto sort = [&] {
    // Nearly in order: few legs have moved.
    for (size_t i = 1; i < order.size(); ++i) {
      Leg* const leg = order[i];
      size_t at = i;
      for (; at > 0 && order[at - 1]->cursor.row() > leg->cursor.row(); --at) order[at] = order[at - 1];
      order[at] = leg;
    }
  };
  sort();

  for (size_t step = 0;; ++step) {
    if (step % 1024 == 1023 && stop()) break;
    // The first row that enough lists could hold.
    double sum = 0;
    size_t pivot_at = 0;
    for (; pivot_at < order.size() && order[pivot_at]->cursor.row() != kEnd; ++pivot_at) {
      sum += order[pivot_at]->bound;
      if (sum * kMargin > threshold) break;
    }
    if (pivot_at == order.size() || order[pivot_at]->cursor.row() == kEnd) break;
    const Row pivot = order[pivot_at]->cursor.row();
    while (pivot_at + 1 < order.size() && order[pivot_at + 1]->cursor.row() == pivot) ++pivot_at;

    if (filter != nullptr && !filter->Contains(pivot)) {
      const Row next = filter->NextFrom(pivot);
      for (Leg* leg : order) {
        if (leg->cursor.row() >= next) break;
        leg->cursor.Seek(next);
      }
      sort();
      continue;
    }
    // The same with the bounds of the blocks the row would lie in.
    double block_sum = 0;
    Row end = kEnd - 1;
    for (size_t i = 0; i <= pivot_at; ++i) {
      Leg& leg = *order[i];
      const PostingList::Block* const block = leg.cursor.BlockOf(pivot);
      if (block == nullptr) continue;
      if (block->first > pivot) {
        end = std::min(end, block->first - 1);
      } else {
        block_sum += scorer.Bound(leg.weight, block->low, block->high);
        end = std::min(end, block->last);
      }
    }
    if (block_sum * kMargin <= threshold) {
      Row next = end + 1;
      if (pivot_at + 1 < order.size()) next = std::min(next, order[pivot_at + 1]->cursor.row());
      for (size_t i = 0; i <= pivot_at; ++i) order[i]->cursor.Seek(next);
      sort();
      continue;
    }
    if (order[0]->cursor.row() != pivot) {
      for (size_t i = 0; i < pivot_at; ++i) order[i]->cursor.Seek(pivot);
      sort();
      // Whether they hold it or not is seen next time.
      continue;
    }
    const auto prepared = scorer.Row(pivot);
    float score = 0;
    for (Leg& leg : legs) {
      if (leg.cursor.row() == pivot) score += scorer.Score(prepared, leg.weight, leg.cursor.value());
    }
    for (size_t i = 0; i <= pivot_at; ++i) order[i]->cursor.Next();
    sort();
    // Rows come in ascending order, so that an equal score of a later row ranks behind.
    if (heap.size() < k) {
      heap.push_back({pivot, score});
      std::push_heap(heap.begin(), heap.end(), HitRanksBefore);
    } else if (HitRanksBefore({pivot, score}, heap.front())) {
      std::pop_heap(heap.begin(), heap.end(), HitRanksBefore);
      heap.back() = {pivot, score};
      std::push_heap(heap.begin(), heap.end(), HitRanksBefore);
    }
    if (heap.size() == k) threshold = heap.front().score;
  }
  std::sort_heap(heap.begin(), heap.end(), HitRanksBefore);
  return heap;
}

}  // namespace alcove::vector_search
