#include "libs/ann/hnsw_index.h"

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/ann/exact_scan.h"
#include "libs/ann/relabel.h"
#include "libs/ann/validate.h"
#include "libs/common/status.h"
#include "libs/common/task_pool.h"

namespace alcove::ann {
namespace {

absl::Status NotFound(RowId row) { return absl::NotFoundError(absl::StrCat("row ", row, " is not in the index")); }

}  // namespace

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Make(const HnswOptions& options) {
  ALCOVE_RETURN_IF_ERROR(CheckDimAndMetric(options.dim, options.metric));
  if (options.m < 4 || options.m > 64) {
    return absl::InvalidArgumentError(absl::StrCat("m is ", options.m, "; it must be 4 to 64"));
  }
  if (options.ef_construction < options.m || options.ef_construction > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("ef_construction is ", options.ef_construction, "; it must be m (", options.m, ") to 4096"));
  }
  if (options.max_rows < 1 || options.max_rows > size_t{kMaxRow} + 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_rows is ", options.max_rows, "; it must be 1 to 2^31"));
  }
  std::unique_ptr<HnswIndex> index(new HnswIndex(options));
  ALCOVE_ASSIGN_OR_RETURN(index->current_, Graph::Make(options));
  index->graph_.store(index->current_.get(), std::memory_order_release);
  return index;
}

Scratch& HnswIndex::ScratchOf(const EpochDomain::Pin& pin) const {
  std::unique_ptr<Scratch>& scratch = scratch_[pin.slot()];
  if (scratch == nullptr) scratch = std::make_unique<Scratch>();
  scratch_bytes_[pin.slot()].store(scratch->bytes(), std::memory_order_relaxed);
  return *scratch;
}

absl::Status HnswIndex::Put(RowId row, absl::Span<const float> vector, bool replace) {
  WriterGate::Shared shared(gate_);
  Graph& graph = *current_;
  RowTable& rows = graph.rows();
  const NodeId old = rows.NodeOf(row);
  if (replace && old == kNoNode) return NotFound(row);
  if (!replace && old != kNoNode) return absl::AlreadyExistsError(absl::StrCat("row ", row, " exists"));
  const auto grow = [&](size_t nodes) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(graph.store().Grow(nodes));
    return graph.links().Grow(nodes);
  };
  ALCOVE_ASSIGN_OR_RETURN(const NodeId node, rows.Allocate(row, epochs_, grow));
  const EpochDomain::Pin pin = epochs_.Enter();
  Scratch& scratch = ScratchOf(pin);
  graph.store().Write(node, vector.data(), scratch.query);
  if (absl::Status status = graph.links().Init(node, graph.DrawLevel(row)); !status.ok()) {
    graph.links().set_state(node, LinkStore::kSwept);
    rows.Release({node}, epochs_);
    return status;
  }
  graph.store().Prepare(vector.data(), scratch.query);
  graph.Insert(node, scratch);
  const bool published = rows.Exchange(row, old, node);
  const NodeId dead = published ? old : node;
  if (dead != kNoNode) {
    graph.links().set_state(dead, LinkStore::kDead);
    sweeper_.Died(dead);
  }
  if (!published)
    return absl::AbortedError(absl::StrCat("row ", row, " was changed by another writer at the same time"));
  return absl::OkStatus();
}

absl::Status HnswIndex::Add(RowId row, absl::Span<const float> vector) {
  ALCOVE_RETURN_IF_ERROR(CheckVector(row, vector, dim(), metric()));
  ALCOVE_RETURN_IF_ERROR(Put(row, vector, /*replace=*/false));
  SweepALittle();
  return absl::OkStatus();
}

absl::Status HnswIndex::Update(RowId row, absl::Span<const float> vector) {
  ALCOVE_RETURN_IF_ERROR(CheckVector(row, vector, dim(), metric()));
  ALCOVE_RETURN_IF_ERROR(Put(row, vector, /*replace=*/true));
  SweepALittle();
  return absl::OkStatus();
}

absl::Status HnswIndex::Remove(RowId row) {
  {
    WriterGate::Shared shared(gate_);
    RowTable& rows = current_->rows();
    const NodeId node = rows.NodeOf(row);
    if (node == kNoNode || !rows.Exchange(row, node, kNoNode)) return NotFound(row);
    current_->links().set_state(node, LinkStore::kDead);
    sweeper_.Died(node);
  }
  SweepALittle();
  return absl::OkStatus();
}

absl::Status HnswIndex::AddBatch(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t threads) {
  ALCOVE_RETURN_IF_ERROR(CheckBatch(*this, rows, vectors));
  if (threads == 0) threads = options_.max_threads > 0 ? options_.max_threads : static_cast<size_t>(AvailableCpus());
  std::mutex mutex;
  absl::Status failed;
  const auto put = [&](size_t i) {
    const absl::Status status = Put(rows[i], vectors.subspan(i * dim(), dim()), /*replace=*/false);
    if (status.ok()) return;
    std::lock_guard lock(mutex);
    failed.Update(status);
  };
  // The first vectors shape the upper layers, and nodes inserted at the same moment do not see one another; a start on
  // one thread keeps that harmless.
  const size_t alone = options_.deterministic || threads == 1 || rows.size() < 64 ? rows.size()
                       : size() < 512                                             ? std::min<size_t>(rows.size(), 512)
                                                                                  : 0;
  for (size_t i = 0; i < alone && failed.ok(); ++i) put(i);
  if (alone < rows.size() && failed.ok()) {
    TaskPool pool(static_cast<int>(threads) - 1, "alcove-ann");
    pool.ParallelForRange(rows.size() - alone, 16, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) put(alone + i);
    });
  }
  return failed;
}

void HnswIndex::SweepALittle() {
  if (sweeper_.Due(*current_)) {
    WriterGate::Exclusive exclusive(gate_);
    sweeper_.Begin(*current_);
  }
  WriterGate::Shared shared(gate_);
  const EpochDomain::Pin pin = epochs_.Enter();
  sweeper_.Step(*current_, epochs_, ScratchOf(pin));
}

void HnswIndex::SweepAll() {
  const EpochDomain::Pin pin = epochs_.Enter();
  Scratch& scratch = ScratchOf(pin);
  // Twice: what died during the sweep under way needs one of its own.
  for (int round = 0; round < 2; ++round) {
    while (sweeper_.Step(*current_, epochs_, scratch)) {
    }
    sweeper_.Begin(*current_);
  }
  while (sweeper_.Step(*current_, epochs_, scratch)) {
  }
}

absl::Status HnswIndex::Optimize() {
  WriterGate::Exclusive exclusive(gate_);
  SweepAll();
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<Graph> next, Relabel(*current_));
  graph_.store(next.get(), std::memory_order_seq_cst);
  current_.swap(next);
  const uint64_t ticket = epochs_.Retire();
  while (!epochs_.Passed(ticket)) std::this_thread::yield();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> HnswIndex::Get(RowId row) const {
  const EpochDomain::Pin pin = epochs_.Enter();
  const Graph& graph = *graph_.load(std::memory_order_seq_cst);
  const NodeId node = graph.rows().NodeOf(row);
  if (node == kNoNode) return NotFound(row);
  std::vector<float> out(dim());
  graph.store().Read(node, out.data());
  return out;
}

bool HnswIndex::Contains(RowId row) const {
  const EpochDomain::Pin pin = epochs_.Enter();
  return graph_.load(std::memory_order_seq_cst)->rows().NodeOf(row) != kNoNode;
}

size_t HnswIndex::size() const {
  const EpochDomain::Pin pin = epochs_.Enter();
  return graph_.load(std::memory_order_seq_cst)->rows().live();
}

absl::StatusOr<std::vector<Neighbor>> HnswIndex::Score(absl::Span<const float> query,
                                                       absl::Span<const RowId> rows) const {
  ALCOVE_RETURN_IF_ERROR(CheckQuery(query, dim(), metric()));
  const EpochDomain::Pin pin = epochs_.Enter();
  const Graph& graph = *graph_.load(std::memory_order_seq_cst);
  Scratch& scratch = ScratchOf(pin);
  graph.store().Prepare(query.data(), scratch.query);
  return ScoreRows(graph.store(), graph.rows(), scratch.query, rows);
}

MemoryBreakdown HnswIndex::MemoryUsage() const {
  WriterGate::Shared shared(gate_);
  const Graph& graph = *current_;
  size_t scratch = 0;
  for (const auto& bytes : scratch_bytes_) scratch += bytes.load(std::memory_order_relaxed);
  return {.vectors = graph.store().vector_bytes(),
          .codes = graph.store().code_bytes(),
          .links = graph.links().link_bytes(),
          .mapping = graph.rows().bytes() + graph.links().state_bytes() + sizeof(*this) + sizeof(graph),
          .scratch = scratch};
}

absl::Status HnswIndex::SaveTo(ByteSink& sink) const {
  WriterGate::Exclusive exclusive(gate_);
  const Graph::Entry entry = current_->entry();
  const SnapshotHeader header{.kind = SnapshotHeader::kHnsw,
                              .layout = current_->store().layout(),
                              .max_nodes = options_.max_rows,
                              .m = static_cast<uint32_t>(options_.m),
                              .ef_construction = static_cast<uint32_t>(options_.ef_construction),
                              .deterministic = options_.deterministic,
                              .entry_node = entry.node,
                              .entry_level = static_cast<uint32_t>(entry.level)};
  return SaveSnapshot(header, current_->store(), current_->rows(), current_.get(), sink);
}

absl::Status HnswIndex::Load(const SnapshotHeader& header, SnapshotReader& reader) {
  ALCOVE_RETURN_IF_ERROR(LoadSnapshot(header, current_->store(), current_->rows(), current_.get(), reader));
  std::vector<NodeId> dead;
  for (NodeId node = 0; node < header.nodes; ++node) {
    if (current_->links().state(node) == LinkStore::kDead) dead.push_back(node);
  }
  sweeper_.Restore(std::move(dead));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<VectorIndex>> MakeHnswIndex(const HnswOptions& options) {
  return HnswIndex::Make(options);
}

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadHnswIndex(const SnapshotHeader& header, size_t max_threads,
                                                           SnapshotReader& reader) {
  auto made = HnswIndex::Make({.dim = header.layout.dim,
                               .metric = header.layout.metric,
                               .m = header.m,
                               .ef_construction = header.ef_construction,
                               .seed = header.layout.seed,
                               .codes = header.layout.codes,
                               .vectors = header.layout.vectors,
                               .max_threads = max_threads,
                               .deterministic = header.deterministic,
                               .max_rows = header.max_nodes});
  if (absl::IsInvalidArgument(made.status())) return absl::DataLossError("snapshot header holds impossible values");
  if (!made.ok()) return made.status();
  ALCOVE_RETURN_IF_ERROR((*made)->Load(header, reader));
  return *std::move(made);
}

}  // namespace alcove::ann
