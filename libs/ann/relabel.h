#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "libs/ann/graph.h"

namespace alcove::ann {

// A copy of the graph without dead and free nodes, numbered so that nodes lie near the nodes they link to:
// breadth-first from the entry, so that what a search reads together shares pages and cache lines. Writers are kept
// out; no links lead to dead nodes (a sweep has just finished).
absl::StatusOr<std::unique_ptr<Graph>> Relabel(const Graph& graph);

}  // namespace alcove::ann
