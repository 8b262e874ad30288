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

struct Near {
  float distance;
  NodeId node;
  friend bool operator<(const Near& a, const Near& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.node < b.node;
  }
};

// Buffers one operation works in; reused by the next.
struct Scratch {
  PreparedQuery query;       // what is searched or inserted
  PreparedQuery node_query;  // a stored node compared with others
  CandidatePool pool;
  VisitedSet visited;
  std::vector<NodeId> nodes;
  std::vector<float> distances;
  // A traversal between two turns: what was asked of memory, and where.
  enum class Turn : uint8_t { kLinks, kCodes } turn = Turn::kLinks;
  int level = 0, last_level = 0;
  size_t ef = 0;
  NodeId current = 0;                  // whose links come next
  NodeId gathered[NodeStore::kBatch];  // whose codes come next
  size_t gathered_count = 0;
  // An insertion: the node, the highest layer it shares with the graph, and what it is linked to on each.
  NodeId node = 0;
  int top = 0;
  std::vector<std::vector<Near>> chosen;
  // For the other queries of a batch.
  std::vector<std::unique_ptr<Scratch>> lanes;
  size_t bytes() const;
};

// One generation of an HNSW index: vectors, links, rows, and where a search enters.
//
// Everything a search calls is const and lock-free; the caller holds an epoch pin. Everything that changes links takes
// the locks of the nodes it changes, one at a time.
class Graph {
 public:
  // See LinkStore for `wide` and `narrow_nodes`.
  static absl::StatusOr<std::unique_ptr<Graph>> Make(const HnswOptions& options, bool wide,
                                                     size_t narrow_nodes = LinkStore::kNarrowNodes);

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

  // Best-first search with scratch.query from the entry down to `level`, in turns, so that several traversals can
  // alternate on one thread while each waits for memory: Begin, then TakeTurn until it returns false. Then scratch.pool
  // holds the `ef` nearest nodes, dead ones included. On each layer above, the few nearest are sought, and all of them
  // are starts for the layer below: data that falls into clusters has many places where one start leads nowhere.
  void Begin(Scratch& scratch, Entry entry, int level, size_t ef) const;
  bool TakeTurn(Scratch& scratch) const;
  // All turns at once. False when the stop check ended it.
  bool SearchLayer(Scratch& scratch, Entry entry, int level, size_t ef, const StopCheck* stop) const;
  // SearchLayer on the base layer for the `ef` nearest live nodes whose rows match, sorted; others are only walked
  // through. At most `max_visits` nodes are compared.
  bool SearchFiltered(Scratch& scratch, size_t ef, const RowFilter& filter, size_t max_visits, const StopCheck* stop,
                      std::vector<Near>& out) const;

  // --- building (graph_build.cc) ---

  // Links a node that store() already holds into the graph. scratch.query is the prepared vector of that node.
  void Insert(NodeId node, Scratch& scratch);
  // The same in turns, as for searches; false when nothing is left to do.
  bool BeginInsert(NodeId node, Scratch& scratch);
  bool InsertTurn(Scratch& scratch);
  // The level a row is drawn at: P(level >= l) = max(m, 16)^-l.
  int DrawLevel(RowId row) const;

  // Keeps, of `candidates` sorted by distance from some point, those nearer to the point than to any kept before
  // (the heuristic of section 4, algorithm 4), at most `most`. Dead nodes are dropped.
  // The first `settled` of them are kept as they are and strike out others all the same.
  void Select(std::vector<Near>& candidates, size_t most, Scratch& scratch, size_t settled = 0) const;

  // --- repairing (graph_repair.cc) ---

  // Gives a node whose links lead to swept nodes new links in their place. Returns whether it had any.
  bool RepairNode(NodeId node, Scratch& scratch);
  // Makes a way to every node that none leads to any more: choosing links among near nodes, and replacing them, can cut
  // off the last (some one in 30,000 after heavy churn). Returns how many there were. Every node must be live, and no
  // other call in progress.
  size_t Reconnect(Scratch& scratch);
  // Makes the entry a live node of the highest level there is (kNoNode when none is left).
  void ReplaceEntry();

  const HnswOptions& options() const { return options_; }

 private:
  Graph(const HnswOptions& options, bool wide, size_t narrow_nodes);
  // The neighbours not visited yet, now marked visited and on their way into the cache; returns how many.
  size_t Gather(NodeId node, int level, VisitedSet& visited, NodeId* out) const;
  bool NextLayer(Scratch& scratch) const;
  // Sorts by what links are compared by, where estimates are too coarse for it.
  void Reorder(std::vector<Near>& candidates, Scratch& scratch) const;
  void FinishInsert(Scratch& scratch);
  void Connect(NodeId node, int level, Near to, Scratch& scratch);
  size_t Bridge(NodeId node, int level, absl::Span<const NodeId> own, std::vector<Near>& linked,
                Scratch& scratch) const;
  void Relink(NodeId node, int level, std::vector<Near>& linked, Scratch& scratch);
  void Spread(int level, std::vector<NodeId>& found, std::vector<bool>& reached) const;
  void Attach(NodeId node, Scratch& scratch);

  const HnswOptions options_;
  const double level_scale_;
  std::unique_ptr<NodeStore> store_;
  LinkStore links_;
  RowTable rows_;
  std::atomic<uint64_t> entry_;  // level << 32 | node
  std::mutex entry_mutex_;
};

}  // namespace alcove::ann
