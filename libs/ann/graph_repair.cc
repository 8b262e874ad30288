// Deletes leave tombstones, which searches walk through. A sweep then looks at every node once and replaces links to
// the swept nodes by links to what lay behind them, as FreshDiskANN does (Singh et al., 2021, section 4.2); afterwards
// nothing leads to the swept nodes and they can be used again.
#include <algorithm>
#include <utility>

#include "libs/ann/graph.h"

namespace alcove::ann {

bool Graph::RepairNode(NodeId node, Scratch& scratch) {
  bool repaired = false;
  NodeId own[NodeStore::kBatch];
  for (int level = links_.level(node); level >= 0; --level) {
    std::vector<Near> linked;
    size_t settled = 0;
    {
      std::lock_guard lock(links_.lock(node));
      const size_t count = links_.Read(node, level, own);
      const auto swept = [&](NodeId n) { return links_.state(n) == LinkStore::kSwept; };
      if (std::none_of(own, own + count, swept)) continue;
      repaired = true;
      settled = Bridge(node, level, {own, count}, linked, scratch);
      for (size_t i = 0; i < linked.size(); ++i) own[i] = linked[i].node;
      links_.Write(node, level, {own, linked.size()});
    }
    if (links_.state(node) != LinkStore::kAlive) continue;
    if (linked.empty()) {
      Relink(node, level, linked, scratch);
      settled = 0;
    }
    // The swept node led both ways; so do the links in its place.
    for (size_t i = settled; i < linked.size(); ++i) Connect(node, level, linked[i], scratch);
  }
  return repaired;
}

// The links that stay, then new ones to the nearest nodes behind the swept ones; returns how many stayed.
size_t Graph::Bridge(NodeId node, int level, absl::Span<const NodeId> own, std::vector<Near>& linked,
                     Scratch& scratch) const {
  std::vector<NodeId> nodes;
  std::vector<NodeId> behind;
  NodeId more[NodeStore::kBatch];
  for (NodeId next : own) {
    const LinkStore::State state = links_.state(next);
    if (state == LinkStore::kAlive) nodes.push_back(next);
    if (state != LinkStore::kSwept) continue;
    const size_t count = links_.Read(next, level, more);
    for (size_t i = 0; i < count; ++i) {
      if (more[i] != node && links_.state(more[i]) == LinkStore::kAlive) behind.push_back(more[i]);
    }
  }
  const size_t settled = nodes.size();
  std::sort(behind.begin(), behind.end());
  behind.erase(std::unique(behind.begin(), behind.end()), behind.end());
  for (NodeId next : behind) {
    if (std::find(nodes.begin(), nodes.begin() + static_cast<ptrdiff_t>(settled), next) ==
        nodes.begin() + static_cast<ptrdiff_t>(settled)) {
      nodes.push_back(next);
    }
  }
  store_->PrepareNode(node, scratch.node_query);
  std::vector<float> distances(nodes.size());
  for (size_t i = 0; i < nodes.size(); i += NodeStore::kBatch) {
    store_->Compare(scratch.node_query, nodes.data() + i, std::min(NodeStore::kBatch, nodes.size() - i),
                    distances.data() + i);
  }
  linked.clear();
  for (size_t i = 0; i < nodes.size(); ++i) linked.push_back({distances[i], nodes[i]});
  std::sort(linked.begin() + static_cast<ptrdiff_t>(settled), linked.end());
  Select(linked, links_.capacity(level), scratch, settled);
  return std::min(settled, linked.size());
}

// Everything around the node is gone: finds its place anew.
void Graph::Relink(NodeId node, int level, std::vector<Near>& linked, Scratch& scratch) {
  const Entry entry = this->entry();
  if (entry.node == kNoNode || entry.node == node || entry.level < level) return;
  std::vector<float> vector(options_.dim);
  store_->Read(node, vector.data());
  store_->Prepare(vector.data(), scratch.query);
  SearchLayer(scratch, entry, level, options_.ef_construction, nullptr);
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    if (scratch.pool.node(i) != node) linked.push_back({scratch.pool.distance(i), scratch.pool.node(i)});
  }
  if (store_->coarse()) Reorder(linked, scratch);
  Select(linked, options_.m, scratch);
  NodeId own[NodeStore::kBatch];
  for (size_t i = 0; i < linked.size(); ++i) own[i] = linked[i].node;
  std::lock_guard lock(links_.lock(node));
  links_.Write(node, level, {own, linked.size()});
}

// Adds what the layer's links lead to from those found, as far as they lead.
void Graph::Spread(int level, std::vector<NodeId>& found, std::vector<bool>& reached) const {
  NodeId next[NodeStore::kBatch];
  for (size_t done = 0; done < found.size(); ++done) {
    if (links_.level(found[done]) < level) continue;
    const size_t count = links_.Read(found[done], level, next);
    for (size_t i = 0; i < count; ++i) {
      if (reached[next[i]]) continue;
      reached[next[i]] = true;
      found.push_back(next[i]);
    }
  }
}

size_t Graph::Reconnect(Scratch& scratch) {
  const Entry entry = this->entry();
  if (entry.node == kNoNode) return 0;
  std::vector<bool> reached(rows_.nodes());
  std::vector<NodeId> found{entry.node};
  reached[entry.node] = true;
  for (int level = entry.level; level >= 0; --level) Spread(level, found, reached);
  size_t attached = 0;
  for (NodeId node = 0; node < reached.size() && found.size() < reached.size(); ++node) {
    if (reached[node]) continue;
    Attach(node, scratch);
    ++attached;
    std::vector<NodeId> behind{node};
    reached[node] = true;
    Spread(0, behind, reached);
    found.insert(found.end(), behind.begin(), behind.end());
  }
  return attached;
}

// Makes a link to a node that none leads to: from the nearest that has room, else from the nearest of all, whose
// farthest link then goes by way of the node.
void Graph::Attach(NodeId node, Scratch& scratch) {
  std::vector<float> vector(options_.dim);
  store_->Read(node, vector.data());
  store_->Prepare(vector.data(), scratch.query);
  SearchLayer(scratch, entry(), 0, options_.ef_construction, nullptr);
  const size_t most = links_.capacity(0);
  NodeId own[NodeStore::kBatch];
  for (size_t i = 0; i < scratch.pool.size(); ++i) {
    const NodeId near = scratch.pool.node(i);
    std::lock_guard lock(links_.lock(near));
    size_t count = links_.Read(near, 0, own);
    if (count >= most) continue;
    own[count++] = node;
    return links_.Write(near, 0, {own, count});
  }
  const NodeId nearest = scratch.pool.node(0);
  size_t count = links_.Read(nearest, 0, own);
  float distances[NodeStore::kBatch];
  store_->PrepareNode(nearest, scratch.node_query);
  store_->Compare(scratch.node_query, own, count, distances);
  const auto farthest = static_cast<size_t>(std::max_element(distances, distances + count) - distances);
  const NodeId moved = std::exchange(own[farthest], node);
  NodeId next[NodeStore::kBatch];
  size_t next_count = links_.Read(node, 0, next);
  if (std::find(next, next + next_count, moved) == next + next_count) {
    // Nobody comes this way yet: none of the node's own links is anyone's last.
    if (next_count == most) --next_count;
    next[next_count++] = moved;
    std::lock_guard lock(links_.lock(node));
    links_.Write(node, 0, {next, next_count});
  }
  std::lock_guard lock(links_.lock(nearest));
  links_.Write(nearest, 0, {own, count});
}

void Graph::ReplaceEntry() {
  std::lock_guard lock(entry_mutex_);
  const Entry now = entry();
  if (now.node == kNoNode || links_.state(now.node) == LinkStore::kAlive) return;
  Entry best;
  const std::vector<bool> free = rows_.FreeNodes();
  for (NodeId node = 0; node < free.size(); ++node) {
    if (free[node] || links_.state(node) != LinkStore::kAlive) continue;
    const int level = links_.level(node);
    if (best.node == kNoNode || level > best.level) best = {node, level};
  }
  set_entry(best);
}

}  // namespace alcove::ann
