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

size_t Graph::Gather(NodeId node, int level, VisitedSet& visited, NodeId* out) const {
  const LinkStore::Link* const places = links_.links(node, level);
  const size_t most = links_.capacity(level);
  size_t count = 0;
  for (size_t i = 0; i < most; ++i) {
    const NodeId next = places[i].load(std::memory_order_acquire);
    if (next == kNoNode) break;
    if (!visited.Insert(next)) continue;
    store_->PrefetchCode(next);
    out[count++] = next;
  }
  return count;
}

void Graph::BeginLayer(Scratch& scratch, Near start, size_t ef) const {
  scratch.pool.Reset(ef);
  scratch.visited.Reset(rows_.nodes());
  scratch.visited.Insert(start.node);
  scratch.pool.Insert(start.distance, start.node);
  scratch.gathered_count = 0;
}

// One batch ahead: while the codes of one node's neighbours are on their way from memory, the next candidate's links
// are read and its neighbours' codes asked for. The next candidate is chosen a step early, which costs a few percent
// more expansions and hides most of the latency.
bool Graph::StepLayer(Scratch& scratch, int level) const {
  CandidatePool& pool = scratch.pool;
  const NodeId* const pending = scratch.gathered[scratch.gathered_in];
  const size_t waiting = scratch.gathered_count;
  scratch.gathered_in = !scratch.gathered_in;
  NodeId* const next = scratch.gathered[scratch.gathered_in];
  scratch.gathered_count = pool.HasNext() ? Gather(pool.Next(), level, scratch.visited, next) : 0;
  if (waiting > 0) {
    float distances[NodeStore::kBatch];
    store_->Estimate(scratch.query, pending, waiting, distances);
    for (size_t i = 0; i < waiting; ++i) {
      if (pool.Insert(distances[i], pending[i]) && level == 0) links_.PrefetchLinks(pending[i]);
    }
  }
  return scratch.gathered_count > 0 || pool.HasNext();
}

bool Graph::SearchLayer(Scratch& scratch, Near start, int level, size_t ef, const StopCheck* stop) const {
  BeginLayer(scratch, start, ef);
  for (size_t step = 1; StepLayer(scratch, level); ++step) {
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
    const size_t count = Gather(near.node, 0, visited, nodes);
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
