#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "libs/ann/epoch.h"
#include "libs/ann/graph.h"
#include "libs/ann/index.h"
#include "libs/ann/snapshot.h"
#include "libs/ann/sweeper.h"
#include "libs/ann/writer_gate.h"

namespace alcove::ann {

// VectorIndex over a Graph. Searches pin an epoch and read the current generation; writers share the gate; Optimize
// builds the next generation beside the current one and publishes it with one store.
class HnswIndex final : public VectorIndex {
 public:
  // See LinkStore for `wide` and `narrow_nodes`: an index starts with narrow links and changes over when it outgrows
  // them.
  static absl::StatusOr<std::unique_ptr<HnswIndex>> Make(const HnswOptions& options, bool wide = false,
                                                         size_t narrow_nodes = LinkStore::kNarrowNodes);

  absl::Status Add(RowId row, absl::Span<const float> vector) override;
  absl::Status AddBatch(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t threads) override;
  absl::Status Update(RowId row, absl::Span<const float> vector) override;
  absl::Status Remove(RowId row) override;
  absl::StatusOr<std::vector<Neighbor>> Search(absl::Span<const float> query,
                                               const SearchParams& params) const override;
  absl::StatusOr<std::vector<std::vector<Neighbor>>> SearchBatch(absl::Span<const float> queries,
                                                                 const SearchParams& params) const override;
  absl::StatusOr<std::vector<float>> Get(RowId row) const override;
  bool Contains(RowId row) const override;
  absl::StatusOr<std::vector<Neighbor>> Score(absl::Span<const float> query,
                                              absl::Span<const RowId> rows) const override;
  size_t size() const override;
  size_t dim() const override { return options_.dim; }
  Metric metric() const override { return options_.metric; }
  MemoryBreakdown MemoryUsage() const override;
  absl::Status Optimize() override;
  absl::Status SaveTo(ByteSink& sink) const override;

  absl::Status Load(const SnapshotHeader& header, SnapshotReader& reader);

 private:
  explicit HnswIndex(const HnswOptions& options) : options_(options) {}

  absl::Status Put(RowId row, absl::Span<const float> vector, bool replace);
  absl::Status TryPut(RowId row, absl::Span<const float> vector, bool replace);
  // Puts new rows, whose insertions take turns.
  absl::Status PutMany(absl::Span<const RowId> rows, absl::Span<const float> vectors);
  // From row `next` on; says how far it came.
  absl::Status TryPutMany(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t& next);
  // Purges tombstones and publishes a copy in better order. All other writers kept out.
  absl::Status Rebuild(bool wide);
  absl::Status Widen();
  // A node that holds the vector, not linked yet; scratch.query is prepared. Writers' gate held.
  absl::StatusOr<NodeId> Place(RowId row, absl::Span<const float> vector, Scratch& scratch);
  // Makes a linked node the row's. ABORTED when another writer was faster.
  absl::Status Publish(RowId row, NodeId old, NodeId node);
  void SweepALittle();
  void SweepAll();  // all other writers kept out
  Scratch& ScratchOf(const EpochDomain::Pin& pin) const;
  absl::StatusOr<std::vector<Neighbor>> SearchPinned(const Graph& graph, const SearchParams& params,
                                                     Scratch& scratch) const;
  absl::StatusOr<std::vector<Neighbor>> SearchWithFilter(const Graph& graph, const SearchParams& params,
                                                         Scratch& scratch) const;
  std::vector<Neighbor> RankPool(const Graph& graph, const SearchParams& params, Scratch& scratch, size_t& live) const;
  // The k best of scratch.nodes, nearest first by scratch.distances; `live` says how many of those looked at were live.
  std::vector<Neighbor> Rank(const Graph& graph, const SearchParams& params, Scratch& scratch, size_t& live) const;

  const HnswOptions options_;
  mutable WriterGate gate_;
  mutable EpochDomain epochs_;
  std::unique_ptr<Graph> current_;      // changed only by Optimize and Load
  std::atomic<Graph*> graph_{nullptr};  // what searches read: current_
  Sweeper sweeper_;
  mutable std::unique_ptr<Scratch> scratch_[EpochDomain::kSlots];  // each used by the holder of its pin
  mutable std::atomic<size_t> scratch_bytes_[EpochDomain::kSlots] = {};
};

}  // namespace alcove::ann
