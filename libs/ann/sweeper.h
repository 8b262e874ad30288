#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "libs/ann/epoch.h"
#include "libs/ann/graph.h"

namespace alcove::ann {

// Turns tombstones into free nodes, a little with every write.
//
// When enough nodes have died, a sweep begins: the dead ones so far become "swept", and each later write repairs a
// slice of the nodes, so that the sweep is over before half as many again have died. Then nothing links to the swept
// nodes and they are released.
//
// Thread safety: all methods; Begin() needs all other writers kept out, because an insertion under way might still link
// to a node that has just died.
class Sweeper {
 public:
  // A node died (its row was removed or updated).
  void Died(NodeId node);
  // Whether a sweep should begin.
  bool Due(const Graph& graph) const;
  void Begin(Graph& graph);
  // Repairs a slice if a sweep is under way and no other thread is at it. Returns whether more remains.
  bool Step(Graph& graph, EpochDomain& epochs, Scratch& scratch);
  // After loading: the dead nodes found.
  void Restore(std::vector<NodeId> dead);

 private:
  mutable std::mutex dead_mutex_;
  std::vector<NodeId> dead_;

  std::mutex step_mutex_;
  std::vector<NodeId> swept_;
  NodeId next_ = 0, end_ = 0;
  size_t slice_ = 0;
};

}  // namespace alcove::ann
