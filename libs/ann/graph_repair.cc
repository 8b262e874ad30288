// Deletes leave tombstones, which searches walk through. A sweep then looks at every node once and replaces links to
// the swept nodes by links to what lay behind them, as FreshDiskANN does (Singh et al., 2021, section 4.2); afterwards
// nothing leads to the swept nodes and they can be used again.
#include <algorithm>

#include "libs/ann/graph.h"

namespace alcove::ann {

bool Graph::RepairNode(NodeId node, Scratch& scratch) {
  bool repaired = false;
  NodeId own[NodeStore::kBatch];
  NodeId behind[NodeStore::kBatch];
  for (int level = links_.level(node); level >= 0; --level) {
    std::vector<NodeId> around;
    std::vector<Near> candidates;
    {
      std::lock_guard lock(links_.lock(node));
      const size_t count = links_.Read(node, level, own);
      const auto swept = [&](NodeId n) { return links_.state(n) == LinkStore::kSwept; };
      if (std::none_of(own, own + count, swept)) continue;
      repaired = true;
      for (size_t i = 0; i < count; ++i) {
        if (!swept(own[i])) {
          around.push_back(own[i]);
          continue;
        }
        const size_t more = links_.Read(own[i], level, behind);
        for (size_t j = 0; j < more; ++j) {
          if (behind[j] != node && links_.state(behind[j]) == LinkStore::kAlive) around.push_back(behind[j]);
        }
      }
      std::sort(around.begin(), around.end());
      around.erase(std::unique(around.begin(), around.end()), around.end());
      store_->PrepareNode(node, scratch.node_query);
      std::vector<float> distances(around.size());
      for (size_t i = 0; i < around.size(); i += NodeStore::kBatch) {
        const size_t part = std::min(NodeStore::kBatch, around.size() - i);
        store_->Estimate(scratch.node_query, around.data() + i, part, distances.data() + i);
      }
      for (size_t i = 0; i < around.size(); ++i) candidates.push_back({distances[i], around[i]});
      std::sort(candidates.begin(), candidates.end());
      Select(candidates, links_.capacity(level), scratch);
      for (size_t i = 0; i < candidates.size(); ++i) own[i] = candidates[i].node;
      links_.Write(node, level, {own, candidates.size()});
    }
    if (!candidates.empty() || links_.state(node) != LinkStore::kAlive) continue;

    // Everything around it is gone: find its place anew.
    const Entry entry = this->entry();
    if (entry.node == kNoNode || entry.node == node || entry.level < level) continue;
    std::vector<float> vector(options_.dim);
    store_->Read(node, vector.data());
    store_->Prepare(vector.data(), scratch.query);
    SearchLayer(scratch, Descend(scratch, entry, level), level, options_.ef_construction, nullptr);
    for (size_t i = 0; i < scratch.pool.size(); ++i) {
      const Candidate& candidate = scratch.pool[i];
      if (candidate.node() != node) candidates.push_back({candidate.distance, candidate.node()});
    }
    Select(candidates, options_.m, scratch);
    for (size_t i = 0; i < candidates.size(); ++i) own[i] = candidates[i].node;
    {
      std::lock_guard lock(links_.lock(node));
      links_.Write(node, level, {own, candidates.size()});
    }
    for (const Near& near : candidates) Connect(node, level, near, scratch);
  }
  return repaired;
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
