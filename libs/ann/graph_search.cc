#include <algorithm>
#include <queue>

#include "libs/ann/graph.h"

namespace alcove::ann {
namespace {

// A stop check costs a virtual call and usually a clock read; once in this many expansions keeps it under a percent.
constexpr size_t kStopInterval = 64;

// How many nearest nodes are sought on the layers above the one searched. One is the paper's choice; with four, the
// share of queries that end in a wrong cluster falls from a percent to almost nothing.
constexpr size_t kUpperBeam = 4;

}  // namespace

size_t Graph::Gather(NodeId node, int level, VisitedSet& visited, NodeId* out) const {
  NodeId linked[NodeStore::kBatch];
  const size_t links = links_.Read(node, level, linked);
  size_t count = 0;
  for (size_t i = 0; i < links; ++i) {
    // Written always and counted only if new: whether it is cannot be predicted.
    out[count] = linked[i];
    count += visited.Insert(linked[i]);
  }
  for (size_t i = 0; i < count; ++i) store_->PrefetchCode(out[i]);
  return count;
}

void Graph::Begin(Scratch& scratch, Entry entry, int level, size_t ef) const {
  scratch.level = std::max(entry.level, level);
  scratch.last_level = level;
  scratch.ef = ef;
  float distance;
  store_->Estimate(scratch.query, &entry.node, 1, &distance);
  scratch.pool.Reset(scratch.level == level ? ef : kUpperBeam);
  scratch.visited.Reset(rows_.nodes());
  scratch.visited.Insert(entry.node);
  scratch.pool.Insert(distance, entry.node);
  scratch.current = scratch.pool.Next();
  scratch.turn = Scratch::Turn::kLinks;
}

bool Graph::TakeTurn(Scratch& scratch) const {
  if (scratch.turn == Scratch::Turn::kLinks) {
    scratch.gathered_count = Gather(scratch.current, scratch.level, scratch.visited, scratch.gathered);
    scratch.turn = Scratch::Turn::kCodes;
    return true;
  }
  CandidatePool& pool = scratch.pool;
  float distances[NodeStore::kBatch];
  store_->Estimate(scratch.query, scratch.gathered, scratch.gathered_count, distances);
  pool.InsertBatch(distances, scratch.gathered, scratch.gathered_count);
  if (!pool.HasNext() && !NextLayer(scratch)) return false;
  scratch.current = pool.Next();
  links_.PrefetchLinks(scratch.current, scratch.level);
  // Likely the one after it.
  if (pool.HasNext()) links_.PrefetchLinks(pool.Peek(), scratch.level);
  scratch.turn = Scratch::Turn::kLinks;
  return true;
}

// What was found on one layer is where the search of the layer below starts.
bool Graph::NextLayer(Scratch& scratch) const {
  if (scratch.level <= scratch.last_level) return false;
  --scratch.level;
  CandidatePool& pool = scratch.pool;
  pool.Restart(scratch.level == scratch.last_level ? scratch.ef : kUpperBeam);
  scratch.visited.Reset(rows_.nodes());
  for (size_t i = 0; i < pool.size(); ++i) scratch.visited.Insert(pool.node(i));
  return true;
}

bool Graph::SearchLayer(Scratch& scratch, Entry entry, int level, size_t ef, const StopCheck* stop) const {
  Begin(scratch, entry, level, ef);
  for (size_t turn = 1; TakeTurn(scratch); ++turn) {
    if (stop != nullptr && turn % (2 * kStopInterval) == 0 && stop->ShouldStop()) return false;
  }
  return true;
}

bool Graph::SearchFiltered(Scratch& scratch, size_t ef, const RowFilter& filter, size_t max_visits,
                           const StopCheck* stop, std::vector<Near>& out) const {
  if (!SearchLayer(scratch, entry(), 0, kUpperBeam, stop)) return false;
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
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    const Near start{scratch.pool.distance(i), scratch.pool.node(i)};
    visited.Insert(start.node);
    open.push(start);
    keep(start);
  }
  size_t visits = scratch.pool.size();
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
      links_.PrefetchLinks(found.node, 0);
      keep(found);
    }
    if (stop != nullptr && step % kStopInterval == 0 && stop->ShouldStop()) return false;
  }
  std::sort_heap(out.begin(), out.end());
  return true;
}

}  // namespace alcove::ann
