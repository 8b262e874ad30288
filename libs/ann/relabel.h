#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "libs/ann/graph.h"

namespace alcove::ann {

// A copy of the graph without dead and free nodes, with narrow or wide links, numbered so that what a search reads
// together shares pages and cache lines: the upper layers first, then breadth-first from the entry. Writers are kept
// out; no links lead to dead nodes (a sweep has just finished).
absl::StatusOr<std::unique_ptr<Graph>> Relabel(const Graph& graph, bool wide);

}  // namespace alcove::ann
