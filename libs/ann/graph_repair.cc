// Deletes leave tombstones, which searches walk through. A sweep then looks at every node once and replaces links to
// the swept nodes by links to what lay behind them, as FreshDiskANN does (Singh et al., 2021, section 4.2); afterwards
// nothing leads to the swept nodes and they can be used again.
#include <algorithm>

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
