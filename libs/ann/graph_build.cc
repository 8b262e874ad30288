#include <algorithm>
#include <cmath>

#include "libs/ann/graph.h"
#include "libs/common/status.h"

namespace alcove::ann {
namespace {

// SplitMix64's finaliser: a good hash of one number.
uint64_t Mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

constexpr uint64_t kNoEntry = kNoNode;

// Each layer has m times the nodes of the one above, or this many where m is small: upper layers cost memory.
constexpr double kLeastLevelRatio = 16;

}  // namespace

size_t Scratch::bytes() const {
  const auto of = [](const PreparedQuery& q) {
    return q.raw.size() * 4 + q.rotated.size() * 4 + q.values.size() + q.planes.size();
  };
  size_t bytes = sizeof(*this) + of(query) + of(node_query) + pool.bytes() + visited.bytes() + nodes.capacity() * 4 +
                 distances.capacity() * 4;
  for (const auto& lane : lanes) bytes += lane->bytes();
  return bytes;
}

Graph::Graph(const HnswOptions& options, bool wide, size_t narrow_nodes)
    : options_(options),
      level_scale_(1 / std::log(std::max(static_cast<double>(options.m), kLeastLevelRatio))),
      links_(options.m, wide, narrow_nodes),
      entry_(kNoEntry) {}

absl::StatusOr<std::unique_ptr<Graph>> Graph::Make(const HnswOptions& options, bool wide, size_t narrow_nodes) {
  std::unique_ptr<Graph> graph(new Graph(options, wide, narrow_nodes));
  ALCOVE_ASSIGN_OR_RETURN(graph->store_, NodeStore::Make({.dim = options.dim,
                                                          .metric = options.metric,
                                                          .codes = options.codes,
                                                          .vectors = options.vectors,
                                                          .seed = options.seed,
                                                          .vectors_directory = options.vectors_directory},
                                                         options.max_rows));
  ALCOVE_RETURN_IF_ERROR(graph->links_.Reserve(options.max_rows));
  ALCOVE_RETURN_IF_ERROR(graph->rows_.Reserve(options.max_rows));
  return graph;
}

Graph::Entry Graph::entry() const {
  const uint64_t word = entry_.load(std::memory_order_acquire);
  return {static_cast<NodeId>(word), static_cast<int>(word >> 32)};
}

void Graph::set_entry(Entry entry) {
  entry_.store(uint64_t{static_cast<uint32_t>(entry.level)} << 32 | entry.node, std::memory_order_release);
}

int Graph::DrawLevel(RowId row) const {
  const double uniform = (static_cast<double>(Mix(options_.seed ^ Mix(row)) >> 11) + 1) * 0x1p-53;
  return std::min(static_cast<int>(-std::log(uniform) * level_scale_), LinkStore::kMaxLevel);
}

void Graph::Select(std::vector<Near>& candidates, size_t most, Scratch& scratch, size_t settled) const {
  size_t kept = 0;
  std::vector<NodeId>& nodes = scratch.nodes;
  std::vector<float>& distances = scratch.distances;
  // candidates[0, kept) are chosen; candidates[kept, size) are still possible, in order. Each choice strikes out, in
  // one batch, those that are nearer to it than to the point.
  std::erase_if(candidates, [&](const Near& near) { return links_.state(near.node) != LinkStore::kAlive; });
  while (kept < candidates.size() && kept < most) {
    const NodeId chosen = candidates[kept++].node;
    if (kept == most) break;
    const size_t rest = candidates.size() - kept;
    if (rest == 0) break;
    nodes.resize(rest);
    distances.resize(rest);
    for (size_t i = 0; i < rest; ++i) nodes[i] = candidates[kept + i].node;
    store_->PrepareNode(chosen, scratch.node_query);
    for (size_t i = 0; i < rest; i += NodeStore::kBatch) {
      const size_t count = std::min(NodeStore::kBatch, rest - i);
      store_->Compare(scratch.node_query, nodes.data() + i, count, distances.data() + i);
    }
    size_t out = kept;
    for (size_t i = 0; i < rest; ++i) {
      if (kept + i < settled || distances[i] >= candidates[kept + i].distance) candidates[out++] = candidates[kept + i];
    }
    candidates.resize(out);
  }
  candidates.resize(kept);
}

void Graph::Reorder(std::vector<Near>& candidates, Scratch& scratch) const {
  for (Near& near : candidates) store_->Refine(scratch.query, &near.node, 1, &near.distance);
  std::sort(candidates.begin(), candidates.end());
}

void Graph::Connect(NodeId node, int level, Near to, Scratch& scratch) {
  const size_t most = links_.capacity(level);
  NodeId now[NodeStore::kBatch];
  std::lock_guard lock(links_.lock(to.node));
  size_t count = links_.Read(to.node, level, now);
  if (std::find(now, now + count, node) != now + count) return;
  now[count++] = node;
  if (count <= most) return links_.Write(to.node, level, {now, count});

  float distances[NodeStore::kBatch];
  store_->PrepareNode(to.node, scratch.node_query);
  store_->Compare(scratch.node_query, now, count, distances);
  std::vector<Near> candidates(count);
  for (size_t i = 0; i < count; ++i) candidates[i] = {distances[i], now[i]};
  std::sort(candidates.begin(), candidates.end());
  Select(candidates, most, scratch);
  for (size_t i = 0; i < candidates.size(); ++i) now[i] = candidates[i].node;
  links_.Write(to.node, level, {now, candidates.size()});
}

bool Graph::BeginInsert(NodeId node, Scratch& scratch) {
  const int level = links_.level(node);
  Entry entry = this->entry();
  if (entry.node == kNoNode) {
    std::lock_guard lock(entry_mutex_);
    entry = this->entry();
    if (entry.node == kNoNode) {
      set_entry({node, level});
      return false;
    }
  }
  scratch.node = node;
  scratch.top = std::min(level, entry.level);
  scratch.chosen.resize(std::max(scratch.chosen.size(), static_cast<size_t>(scratch.top) + 1));
  Begin(scratch, entry, scratch.top, options_.ef_construction);
  return true;
}

// All layers are searched, and the node's own links written, before any link leads to it: a search that arrives here on
// an upper layer finds the layers below complete.
bool Graph::InsertTurn(Scratch& scratch) {
  if (TakeTurn(scratch)) return true;
  const NodeId node = scratch.node;
  const int layer = scratch.last_level;
  std::vector<Near>& candidates = scratch.chosen[static_cast<size_t>(layer)];
  candidates.clear();
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    if (scratch.pool.node(i) != node) candidates.push_back({scratch.pool.distance(i), scratch.pool.node(i)});
  }
  if (store_->coarse()) Reorder(candidates, scratch);
  Select(candidates, options_.m, scratch);
  NodeId own[NodeStore::kBatch];
  for (size_t i = 0; i < candidates.size(); ++i) own[i] = candidates[i].node;
  {
    std::lock_guard lock(links_.lock(node));
    links_.Write(node, layer, {own, candidates.size()});
  }
  if (layer == 0) {
    FinishInsert(scratch);
    return false;
  }
  --scratch.last_level;
  NextLayer(scratch);
  scratch.current = scratch.pool.Next();
  scratch.turn = Scratch::Turn::kLinks;
  return true;
}

void Graph::FinishInsert(Scratch& scratch) {
  const NodeId node = scratch.node;
  for (int l = 0; l <= scratch.top; ++l) {
    for (const Near& near : scratch.chosen[static_cast<size_t>(l)]) Connect(node, l, near, scratch);
  }
  const int level = links_.level(node);
  if (level > scratch.top) {
    std::lock_guard lock(entry_mutex_);
    if (level > this->entry().level) set_entry({node, level});
  }
}

void Graph::Insert(NodeId node, Scratch& scratch) {
  if (!BeginInsert(node, scratch)) return;
  while (InsertTurn(scratch)) {
  }
}

}  // namespace alcove::ann
