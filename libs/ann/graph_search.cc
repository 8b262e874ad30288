#include <algorithm>
#include <queue>

#include "libs/ann/graph.h"

namespace alcove::ann {
namespace {

// A stop check costs a virtual call and usually a clock read; once in this many expansions keeps it under a percent.
constexpr size_t kStopInterval = 64;

}  // namespace

Near Graph::Descend(Scratch& scratch, Entry entry, int level) const {
  Near best{0, entry.node};
  store_->Estimate(scratch.query, &best.node, 1, &best.distance);
  NodeId nodes[NodeStore::kBatch];
  float distances[NodeStore::kBatch];
  for (int l = entry.level; l > level; --l) {
    for (bool moved = true; moved;) {
      moved = false;
      const size_t count = links_.Read(best.node, l, nodes);
      for (size_t i = 0; i < count; ++i) store_->PrefetchCode(nodes[i]);
      store_->Estimate(scratch.query, nodes, count, distances);
      for (size_t i = 0; i < count; ++i) {
        if (distances[i] < best.distance) {
          best = {distances[i], nodes[i]};
          moved = true;
        }
      }
    }
  }
  return best;
}

bool Graph::SearchLayer(Scratch& scratch, Near start, int level, size_t ef, const StopCheck* stop) const {
  CandidatePool& pool = scratch.pool;
  VisitedSet& visited = scratch.visited;
  pool.Reset(ef);
  visited.Reset(rows_.nodes());
  visited.Insert(start.node);
  pool.Insert(start.distance, start.node);
  const size_t most = links_.capacity(level);
  NodeId nodes[NodeStore::kBatch];
  float distances[NodeStore::kBatch];
  for (size_t step = 1; pool.HasNext(); ++step) {
    const NodeId node = pool.Next();
    const LinkStore::Link* const places = links_.links(node, level);
    size_t count = 0;
    for (size_t i = 0; i < most; ++i) {
      const NodeId next = places[i].load(std::memory_order_acquire);
      if (next == kNoNode) break;
      if (!visited.Insert(next)) continue;
      store_->PrefetchCode(next);
      nodes[count++] = next;
    }
    store_->Estimate(scratch.query, nodes, count, distances);
    for (size_t i = 0; i < count; ++i) {
      if (pool.Insert(distances[i], nodes[i]) && level == 0) links_.PrefetchLinks(nodes[i]);
    }
    if (stop != nullptr && step % kStopInterval == 0 && stop->ShouldStop()) return false;
  }
  return true;
}

bool Graph::SearchFiltered(Scratch& scratch, Near start, size_t ef, const RowFilter& filter, size_t max_visits,
                           const StopCheck* stop, std::vector<Near>& out) const {
  VisitedSet& visited = scratch.visited;
  visited.Reset(rows_.nodes());
  const auto farther = [](const Near& a, const Near& b) { return b < a; };
  std::priority_queue<Near, std::vector<Near>, decltype(farther)> open(farther);
  out.clear();  // a heap, farthest on top
  const auto matches = [&](NodeId node) {
    const RowId row = rows_.RowOf(node);
    return rows_.NodeOf(row) == node && filter.Matches(row);
  };
  const auto keep = [&](Near near) {
    if (out.size() == ef && !(near < out.front())) return;
    if (!matches(near.node)) return;
    if (out.size() == ef) {
      std::pop_heap(out.begin(), out.end());
      out.pop_back();
    }
    out.push_back(near);
    std::push_heap(out.begin(), out.end());
  };
  visited.Insert(start.node);
  open.push(start);
  keep(start);
  size_t visits = 1;
  NodeId nodes[NodeStore::kBatch];
  float distances[NodeStore::kBatch];
  for (size_t step = 1; !open.empty() && visits < max_visits; ++step) {
    const Near near = open.top();
    if (out.size() == ef && out.front() < near) break;
    open.pop();
    size_t count = 0;
    const LinkStore::Link* const places = links_.links(near.node, 0);
    for (size_t i = 0; i < links_.capacity(0); ++i) {
      const NodeId next = places[i].load(std::memory_order_acquire);
      if (next == kNoNode) break;
      if (!visited.Insert(next)) continue;
      store_->PrefetchCode(next);
      nodes[count++] = next;
    }
    visits += count;
    store_->Estimate(scratch.query, nodes, count, distances);
    for (size_t i = 0; i < count; ++i) {
      const Near found{distances[i], nodes[i]};
      if (out.size() == ef && !(found < out.front())) continue;
      open.push(found);
      links_.PrefetchLinks(found.node);
      keep(found);
    }
    if (stop != nullptr && step % kStopInterval == 0 && stop->ShouldStop()) return false;
  }
  std::sort_heap(out.begin(), out.end());
  return true;
}

}  // namespace alcove::ann
