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

// AddBatch inserts one by one up to this many rows, and then in chunks of this many.
constexpr size_t kStartAlone = 512;
constexpr size_t kInsertChunk = 128;

// Insertions of a chunk that take turns while each waits for memory.
constexpr size_t kInsertLanes = 4;

absl::Status NotFound(RowId row) { return absl::NotFoundError(absl::StrCat("row ", row, " is not in the index")); }

}  // namespace

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Make(const HnswOptions& options, bool wide, size_t narrow_nodes) {
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
  ALCOVE_ASSIGN_OR_RETURN(index->current_, Graph::Make(options, wide, narrow_nodes));
  index->graph_.store(index->current_.get(), std::memory_order_release);
  return index;
}

Scratch& HnswIndex::ScratchOf(const EpochDomain::Pin& pin) const {
  std::unique_ptr<Scratch>& scratch = scratch_[pin.slot()];
  if (scratch == nullptr) scratch = std::make_unique<Scratch>();
  scratch_bytes_[pin.slot()].store(scratch->bytes(), std::memory_order_relaxed);
  return *scratch;
}

absl::StatusOr<NodeId> HnswIndex::Place(RowId row, absl::Span<const float> vector, Scratch& scratch) {
  Graph& graph = *current_;
  const auto grow = [&](size_t nodes) -> absl::Status {
    ALCOVE_RETURN_IF_ERROR(graph.store().Grow(nodes));
    return graph.links().Grow(nodes);
  };
  ALCOVE_ASSIGN_OR_RETURN(const NodeId node, graph.rows().Allocate(row, epochs_, grow));
  graph.store().Write(node, vector.data(), scratch.query);
  if (absl::Status status = graph.links().Init(node, graph.DrawLevel(row)); !status.ok()) {
    graph.links().set_state(node, LinkStore::kSwept);
    graph.rows().Release({node}, epochs_);
    return status;
  }
  graph.store().Prepare(vector.data(), scratch.query);
  return node;
}

absl::Status HnswIndex::Publish(RowId row, NodeId old, NodeId node) {
  const bool published = current_->rows().Exchange(row, old, node);
  const NodeId dead = published ? old : node;
  if (dead != kNoNode) {
    current_->links().set_state(dead, LinkStore::kDead);
    sweeper_.Died(dead);
  }
  if (!published)
    return absl::AbortedError(absl::StrCat("row ", row, " was changed by another writer at the same time"));
  return absl::OkStatus();
}

absl::Status HnswIndex::Put(RowId row, absl::Span<const float> vector, bool replace) {
  absl::Status status = TryPut(row, vector, replace);
  if (!absl::IsOutOfRange(status)) return status;
  ALCOVE_RETURN_IF_ERROR(Widen());
  return TryPut(row, vector, replace);
}

absl::Status HnswIndex::TryPut(RowId row, absl::Span<const float> vector, bool replace) {
  WriterGate::Shared shared(gate_);
  const NodeId old = current_->rows().NodeOf(row);
  if (replace && old == kNoNode) return NotFound(row);
  if (!replace && old != kNoNode) return absl::AlreadyExistsError(absl::StrCat("row ", row, " exists"));
  const EpochDomain::Pin pin = epochs_.Enter();
  Scratch& scratch = ScratchOf(pin);
  ALCOVE_ASSIGN_OR_RETURN(const NodeId node, Place(row, vector, scratch));
  current_->Insert(node, scratch);
  return Publish(row, old, node);
}

absl::Status HnswIndex::PutMany(absl::Span<const RowId> rows, absl::Span<const float> vectors) {
  size_t next = 0;
  absl::Status status = TryPutMany(rows, vectors, next);
  if (!absl::IsOutOfRange(status)) return status;
  ALCOVE_RETURN_IF_ERROR(Widen());
  return TryPutMany(rows, vectors, next);
}

absl::Status HnswIndex::TryPutMany(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t& next) {
  WriterGate::Shared shared(gate_);
  const EpochDomain::Pin pin = epochs_.Enter();
  Scratch& scratch = ScratchOf(pin);
  struct Lane {
    Scratch* scratch;
    size_t i;
    NodeId node;
  };
  std::vector<Lane> lanes;
  absl::Status failed;
  // Starts the next rows in the lane until one has something to wait for. False when there are no more.
  const auto begin = [&](Lane& lane) {
    while (next < rows.size() && failed.ok()) {
      lane.i = next++;
      const RowId row = rows[lane.i];
      const auto node = Place(row, vectors.subspan(lane.i * dim(), dim()), *lane.scratch);
      if (!node.ok()) {
        --next;
        failed.Update(node.status());
        return false;
      }
      lane.node = *node;
      if (current_->BeginInsert(lane.node, *lane.scratch)) return true;
      failed.Update(Publish(row, kNoNode, lane.node));
    }
    return false;
  };
  while (lanes.size() < kInsertLanes) {
    if (scratch.lanes.size() == lanes.size()) scratch.lanes.push_back(std::make_unique<Scratch>());
    lanes.push_back({scratch.lanes[lanes.size()].get(), 0, kNoNode});
    if (begin(lanes.back())) continue;
    lanes.pop_back();
    break;
  }
  while (!lanes.empty()) {
    for (size_t l = 0; l < lanes.size();) {
      Lane& lane = lanes[l];
      if (current_->InsertTurn(*lane.scratch)) {
        ++l;
        continue;
      }
      failed.Update(Publish(rows[lane.i], kNoNode, lane.node));
      if (begin(lane)) {
        ++l;
      } else {
        lane = lanes.back();
        lanes.pop_back();
      }
    }
  }
  return failed;
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
  const auto put = [&](size_t begin, size_t end) {
    const absl::Status status =
        PutMany(rows.subspan(begin, end - begin), vectors.subspan(begin * dim(), (end - begin) * dim()));
    if (status.ok()) return;
    std::lock_guard lock(mutex);
    failed.Update(status);
  };
  // The first vectors shape the upper layers, and nodes inserted at the same moment do not see one another; a start one
  // by one keeps that harmless.
  const size_t alone = size() < kStartAlone ? std::min(rows.size(), kStartAlone - size()) : 0;
  for (size_t i = 0; i < alone && failed.ok(); ++i) put(i, i + 1);
  const size_t rest = rows.size() - alone;
  if (rest == 0 || !failed.ok()) return failed;
  const size_t chunks = (rest + kInsertChunk - 1) / kInsertChunk;
  const auto chunk = [&](size_t c) {
    put(alone + c * kInsertChunk, std::min(rows.size(), alone + (c + 1) * kInsertChunk));
  };
  if (options_.deterministic || threads == 1) {
    for (size_t c = 0; c < chunks && failed.ok(); ++c) chunk(c);
  } else {
    TaskPool pool(static_cast<int>(threads) - 1, "alcove-ann");
    pool.ParallelFor(chunks, chunk);
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

absl::Status HnswIndex::Rebuild(bool wide) {
  SweepAll();
  ALCOVE_ASSIGN_OR_RETURN(std::unique_ptr<Graph> next, Relabel(*current_, wide));
  {
    const EpochDomain::Pin pin = epochs_.Enter();
    next->Reconnect(ScratchOf(pin));
  }
  graph_.store(next.get(), std::memory_order_seq_cst);
  current_.swap(next);
  const uint64_t ticket = epochs_.Retire();
  while (!epochs_.Passed(ticket)) std::this_thread::yield();
  return absl::OkStatus();
}

absl::Status HnswIndex::Optimize() {
  WriterGate::Exclusive exclusive(gate_);
  return Rebuild(current_->links().wide());
}

absl::Status HnswIndex::Widen() {
  WriterGate::Exclusive exclusive(gate_);
  return current_->links().wide() ? absl::OkStatus() : Rebuild(/*wide=*/true);
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
          .scratch = scratch,
          .on_disk = graph.store().disk_bytes()};
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

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadHnswIndex(const SnapshotHeader& header, const LoadOptions& load,
                                                           SnapshotReader& reader) {
  auto made = HnswIndex::Make({.dim = header.layout.dim,
                               .metric = header.layout.metric,
                               .m = header.m,
                               .ef_construction = header.ef_construction,
                               .seed = header.layout.seed,
                               .codes = header.layout.codes,
                               .vectors = header.layout.vectors,
                               .max_threads = load.max_threads,
                               .deterministic = header.deterministic,
                               .max_rows = header.max_nodes,
                               .vectors_directory = load.vectors_directory},
                              header.nodes > LinkStore::kNarrowNodes);
  if (absl::IsInvalidArgument(made.status())) return absl::DataLossError("snapshot header holds impossible values");
  if (!made.ok()) return made.status();
  ALCOVE_RETURN_IF_ERROR((*made)->Load(header, reader));
  return *std::move(made);
}

}  // namespace alcove::ann
