#include "libs/ann/sweeper.h"

#include <algorithm>
#include <utility>

namespace alcove::ann {
namespace {

// A sweep begins when one node in this many is dead: more would slow searches, fewer would repair more often.
constexpr size_t kDeadFraction = 12;
constexpr size_t kLeastDead = 32;
constexpr size_t kLeastSlice = 32;

}  // namespace

void Sweeper::Died(NodeId node) {
  std::lock_guard lock(dead_mutex_);
  dead_.push_back(node);
}

void Sweeper::Restore(std::vector<NodeId> dead) {
  std::lock_guard lock(dead_mutex_);
  dead_ = std::move(dead);
}

bool Sweeper::Due(const Graph& graph) const {
  std::lock_guard lock(dead_mutex_);
  return dead_.size() >= kLeastDead && dead_.size() >= graph.rows().live() / kDeadFraction;
}

void Sweeper::Begin(Graph& graph) {
  std::scoped_lock lock(dead_mutex_, step_mutex_);
  if (!swept_.empty() || dead_.empty()) return;
  swept_ = std::move(dead_);
  dead_.clear();
  for (NodeId node : swept_) graph.links().set_state(node, LinkStore::kSwept);
  graph.ReplaceEntry();
  next_ = 0;
  end_ = static_cast<NodeId>(graph.rows().nodes());
  slice_ = std::max(kLeastSlice, 2 * size_t{end_} / swept_.size());
}

bool Sweeper::Step(Graph& graph, EpochDomain& epochs, Scratch& scratch) {
  std::unique_lock lock(step_mutex_, std::try_to_lock);
  if (!lock.owns_lock() || swept_.empty()) return false;
  for (size_t i = 0; i < slice_ && next_ < end_; ++i, ++next_) {
    if (graph.links().state(next_) != LinkStore::kSwept) graph.RepairNode(next_, scratch);
  }
  if (next_ < end_) return true;
  graph.rows().Release(std::exchange(swept_, {}), epochs);
  return false;
}

}  // namespace alcove::ann
