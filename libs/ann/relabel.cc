#include "libs/ann/relabel.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "libs/common/status.h"

namespace alcove::ann {
namespace {

// old node for each new number: first those of the upper layers, which every search visits and which together then stay
// in the cache; then breadth first, so that neighbours lie near one another.
std::vector<NodeId> Order(const Graph& graph) {
  const size_t nodes = graph.rows().nodes();
  const LinkStore& links = graph.links();
  std::vector<bool> seen(nodes);
  const std::vector<bool> free = graph.rows().FreeNodes();
  std::vector<NodeId> order;
  order.reserve(graph.rows().live());
  NodeId next[NodeStore::kBatch];
  const auto visit = [&](NodeId node) {
    if (seen[node] || free[node] || links.state(node) != LinkStore::kAlive) return;
    seen[node] = true;
    order.push_back(node);
  };
  size_t done = 0;
  const auto follow = [&] {
    for (; done < order.size(); ++done) {
      const size_t count = links.Read(order[done], 0, next);
      for (size_t i = 0; i < count; ++i) visit(next[i]);
    }
  };
  if (const NodeId entry = graph.entry().node; entry != kNoNode) visit(entry);
  std::vector<std::pair<int, NodeId>> upper;
  for (NodeId node = 0; node < nodes; ++node) {
    if (!free[node] && links.level(node) > 0) upper.emplace_back(-links.level(node), node);
  }
  std::stable_sort(upper.begin(), upper.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [level, node] : upper) visit(node);
  follow();
  for (NodeId node = 0; node < nodes; ++node) {
    visit(node);
    follow();
  }
  return order;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Graph>> Relabel(const Graph& graph, bool wide) {
  const std::vector<NodeId> order = Order(graph);
  std::vector<NodeId> renamed(graph.rows().nodes(), kNoNode);
  for (NodeId node = 0; node < order.size(); ++node) renamed[order[node]] = node;

  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<Graph> copy, Graph::Make(graph.options(), wide));
  ALCOVE_RETURN_IF_ERROR(copy->store().Grow(order.size(), /*exact=*/true));
  ALCOVE_RETURN_IF_ERROR(copy->links().Grow(order.size(), /*exact=*/true));

  const auto from = graph.store().columns(), to = copy->store().columns();
  for (size_t c = 0; c < from.size(); ++c) {
    for (NodeId node = 0; node < order.size(); ++node) {
      std::memcpy(to[c].data + node * to[c].stride, from[c].data + order[node] * from[c].stride, to[c].stride);
    }
  }
  std::vector<RowId> rows(order.size());
  const std::vector<uint8_t> alive(order.size(), LinkStore::kAlive);
  NodeId next[NodeStore::kBatch];
  for (NodeId node = 0; node < order.size(); ++node) {
    const NodeId old = order[node];
    rows[node] = graph.rows().RowOf(old);
    const int level = graph.links().level(old);
    ALCOVE_RETURN_IF_ERROR(copy->links().Init(node, level));
    for (int l = 0; l <= level; ++l) {
      const size_t count = graph.links().Read(old, l, next);
      size_t kept = 0;
      for (size_t i = 0; i < count; ++i) {
        if (renamed[next[i]] != kNoNode) next[kept++] = renamed[next[i]];
      }
      copy->links().Write(node, l, {next, kept});
    }
  }
  ALCOVE_RETURN_IF_ERROR(copy->rows().Restore(rows, alive));
  const Graph::Entry entry = graph.entry();
  if (entry.node != kNoNode) copy->set_entry({renamed[entry.node], entry.level});
  return copy;
}

}  // namespace alcove::ann
