#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/ann/candidate_pool.h"
#include "libs/ann/index.h"
#include "libs/ann/link_store.h"
#include "libs/ann/node_store.h"
#include "libs/ann/row_table.h"

namespace alcove::ann {

// Buffers one operation works in; reused by the next.
struct Scratch {
  PreparedQuery query;       // what is searched or inserted
  PreparedQuery node_query;  // a stored node compared with others
  CandidatePool pool;
  VisitedSet visited;
  std::vector<NodeId> nodes;
  std::vector<float> distances;
  // A traversal between two steps: neighbours whose codes are on their way from memory.
  NodeId gathered[2][NodeStore::kBatch];
  size_t gathered_count = 0;
  bool gathered_in = false;  // which of the two
  // For the other queries of a batch.
  std::vector<std::unique_ptr<Scratch>> lanes;
  size_t bytes() const;
};

struct Near {
  float distance;
  NodeId node;
  friend bool operator<(const Near& a, const Near& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.node < b.node;
  }
};

// One generation of an HNSW index: vectors, links, rows, and where a search enters.
//
// Everything a search calls is const and lock-free; the caller holds an epoch pin. Everything that changes links takes
// the locks of the nodes it changes, one at a time.
class Graph {
 public:
  static absl::StatusOr<std::unique_ptr<Graph>> Make(const HnswOptions& options);

  NodeStore& store() { return *store_; }
  const NodeStore& store() const { return *store_; }
  LinkStore& links() { return links_; }
  const LinkStore& links() const { return links_; }
  RowTable& rows() { return rows_; }
  const RowTable& rows() const { return rows_; }

  struct Entry {
    NodeId node = kNoNode;
    int level = 0;
  };
  Entry entry() const;
  void set_entry(Entry entry);

  // --- searching (graph_search.cc) ---

  // Greedy descent with scratch.query from the entry to `level`: the nearest node found there.
  Near Descend(Scratch& scratch, Entry entry, int level) const;
  // Best-first search of one layer with scratch.query; fills scratch.pool with the `ef` nearest nodes, dead ones
  // included. False when the stop check ended it.
  bool SearchLayer(Scratch& scratch, Near start, int level, size_t ef, const StopCheck* stop) const;
  // SearchLayer in pieces, so that several queries can take turns while each waits for memory: Begin, then Step until
  // it returns false.
  void BeginLayer(Scratch& scratch, Near start, size_t ef) const;
  bool StepLayer(Scratch& scratch, int level) const;
  // The same as SearchLayer on the base layer, returning the `ef` nearest live nodes whose rows match; others are only
  // walked through. At most `max_visits` nodes are compared.
  bool SearchFiltered(Scratch& scratch, Near start, size_t ef, const RowFilter& filter, size_t max_visits,
                      const StopCheck* stop, std::vector<Near>& out) const;

  // --- building (graph_build.cc) ---

  // Links a node that store() already holds into the graph. scratch.query is the prepared vector of that node.
  void Insert(NodeId node, Scratch& scratch);
  // The level a row is drawn at: P(level >= l) = m^-l.
  int DrawLevel(RowId row) const;

  // Keeps, of `candidates` sorted by distance from some point, those nearer to the point than to any kept before
  // (the heuristic of section 4, algorithm 4), at most `most`. Dead nodes are dropped.
  // The first `settled` of them are kept as they are and strike out others all the same.
  void Select(std::vector<Near>& candidates, size_t most, Scratch& scratch, size_t settled = 0) const;

  // --- repairing (graph_repair.cc) ---

  // Gives a node whose links lead to swept nodes new links in their place. Returns whether it had any.
  bool RepairNode(NodeId node, Scratch& scratch);
  // Makes the entry a live node of the highest level there is (kNoNode when none is left).
  void ReplaceEntry();

  const HnswOptions& options() const { return options_; }

 private:
  explicit Graph(const HnswOptions& options);
  // The neighbours not visited yet, now marked visited and on their way into the cache; returns how many.
  size_t Gather(NodeId node, int level, VisitedSet& visited, NodeId* out) const;
  void Connect(NodeId node, int level, Near to, Scratch& scratch);
  size_t Bridge(NodeId node, int level, absl::Span<const NodeId> own, std::vector<Near>& linked,
                Scratch& scratch) const;
  void Relink(NodeId node, int level, std::vector<Near>& linked, Scratch& scratch);

  const HnswOptions options_;
  const double level_scale_;
  std::unique_ptr<NodeStore> store_;
  LinkStore links_;
  RowTable rows_;
  std::atomic<uint64_t> entry_;  // level << 32 | node
  std::mutex entry_mutex_;
};

}  // namespace alcove::ann
