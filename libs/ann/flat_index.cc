#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/ann/epoch.h"
#include "libs/ann/exact_scan.h"
#include "libs/ann/index.h"
#include "libs/ann/node_store.h"
#include "libs/ann/row_table.h"
#include "libs/ann/snapshot.h"
#include "libs/ann/validate.h"
#include "libs/common/status.h"

namespace alcove::ann {
namespace {

constexpr size_t kMaxFlatNodes = size_t{1} << 26;

class FlatIndex final : public VectorIndex {
 public:
  static absl::StatusOr<std::unique_ptr<FlatIndex>> Make(const FlatOptions& options) {
    ALCOVE_RETURN_IF_ERROR(CheckDimAndMetric(options.dim, options.metric));
    std::unique_ptr<FlatIndex> index(new FlatIndex(options));
    ALCOVE_ASSIGN_OR_RETURN(index->store_, NodeStore::Make({.dim = options.dim,
                                                            .metric = options.metric,
                                                            .codes = Storage::kNone,
                                                            .vectors = options.vectors,
                                                            .vectors_directory = options.vectors_directory},
                                                           kMaxFlatNodes));
    ALCOVE_RETURN_IF_ERROR(index->rows_.Reserve(kMaxFlatNodes));
    return index;
  }

  absl::Status Add(RowId row, absl::Span<const float> vector) override {
    ALCOVE_RETURN_IF_ERROR(CheckVector(row, vector, dim(), metric()));
    if (Contains(row)) return absl::AlreadyExistsError(absl::StrCat("row ", row, " exists"));
    return Put(row, vector, /*replace=*/false);
  }

  absl::Status AddBatch(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t threads) override {
    ALCOVE_RETURN_IF_ERROR(CheckBatch(*this, rows, vectors));
    for (size_t i = 0; i < rows.size(); ++i) {
      ALCOVE_RETURN_IF_ERROR(Put(rows[i], vectors.subspan(i * dim(), dim()), /*replace=*/false));
    }
    return absl::OkStatus();
  }

  absl::Status Update(RowId row, absl::Span<const float> vector) override {
    ALCOVE_RETURN_IF_ERROR(CheckVector(row, vector, dim(), metric()));
    return Put(row, vector, /*replace=*/true);
  }

  absl::Status Remove(RowId row) override {
    std::shared_lock lock(writers_);
    const NodeId node = rows_.NodeOf(row);
    if (node == kNoNode || !rows_.Exchange(row, node, kNoNode)) {
      return absl::NotFoundError(absl::StrCat("row ", row, " is not in the index"));
    }
    rows_.Release({node}, epochs_);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Neighbor>> Search(absl::Span<const float> query,
                                               const SearchParams& params) const override {
    ALCOVE_RETURN_IF_ERROR(CheckParams(params));
    ALCOVE_RETURN_IF_ERROR(CheckQuery(query, dim(), metric()));
    PreparedQuery prepared;
    store_->Prepare(query.data(), prepared);
    const EpochDomain::Pin pin = epochs_.Enter();
    return ExactScan(*store_, rows_, prepared, params);
  }

  absl::StatusOr<std::vector<std::vector<Neighbor>>> SearchBatch(absl::Span<const float> queries,
                                                                 const SearchParams& params) const override {
    if (queries.size() % dim() != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("a batch of ", queries.size(), " values is not a multiple of the dimension ", dim()));
    }
    std::vector<std::vector<Neighbor>> out;
    for (size_t at = 0; at < queries.size(); at += dim()) {
      ALCOVE_ASSIGN_OR_RETURN(out.emplace_back(), Search(queries.subspan(at, dim()), params));
    }
    return out;
  }

  absl::StatusOr<std::vector<float>> Get(RowId row) const override {
    const EpochDomain::Pin pin = epochs_.Enter();
    const NodeId node = rows_.NodeOf(row);
    if (node == kNoNode) return absl::NotFoundError(absl::StrCat("row ", row, " is not in the index"));
    std::vector<float> out(dim());
    store_->Read(node, out.data());
    return out;
  }

  bool Contains(RowId row) const override { return rows_.NodeOf(row) != kNoNode; }

  absl::StatusOr<std::vector<Neighbor>> Score(absl::Span<const float> query,
                                              absl::Span<const RowId> rows) const override {
    ALCOVE_RETURN_IF_ERROR(CheckQuery(query, dim(), metric()));
    PreparedQuery prepared;
    store_->Prepare(query.data(), prepared);
    const EpochDomain::Pin pin = epochs_.Enter();
    return ScoreRows(*store_, rows_, prepared, rows);
  }

  size_t size() const override { return rows_.live(); }
  size_t dim() const override { return options_.dim; }
  Metric metric() const override { return options_.metric; }
  MemoryBreakdown MemoryUsage() const override {
    return {.vectors = store_->vector_bytes() + store_->code_bytes(),
            .mapping = rows_.bytes() + sizeof(*this),
            .on_disk = store_->disk_bytes()};
  }
  absl::Status Optimize() override { return absl::OkStatus(); }

  absl::Status SaveTo(ByteSink& sink) const override {
    std::unique_lock lock(writers_);
    SnapshotHeader header{.kind = SnapshotHeader::kFlat, .layout = store_->layout(), .max_nodes = kMaxFlatNodes};
    return SaveSnapshot(header, *store_, rows_, nullptr, sink);
  }

  absl::Status Load(const SnapshotHeader& header, SnapshotReader& reader) {
    return LoadSnapshot(header, *store_, rows_, nullptr, reader);
  }

 private:
  explicit FlatIndex(const FlatOptions& options) : options_(options) {}

  absl::Status Put(RowId row, absl::Span<const float> vector, bool replace) {
    std::shared_lock lock(writers_);
    const NodeId old = rows_.NodeOf(row);
    if (replace && old == kNoNode) return absl::NotFoundError(absl::StrCat("row ", row, " is not in the index"));
    if (!replace && old != kNoNode) return absl::AlreadyExistsError(absl::StrCat("row ", row, " exists"));
    ALCOVE_ASSIGN_OR_RETURN(const NodeId node,
                            rows_.Allocate(row, epochs_, [&](size_t nodes) { return store_->Grow(nodes); }));
    PreparedQuery scratch;
    store_->Write(node, vector.data(), scratch);
    if (!rows_.Exchange(row, old, node)) {
      rows_.Release({node}, epochs_);
      return absl::AbortedError(absl::StrCat("row ", row, " was changed by another writer at the same time"));
    }
    if (old != kNoNode) rows_.Release({old}, epochs_);
    return absl::OkStatus();
  }

  const FlatOptions options_;
  mutable std::shared_mutex writers_;  // shared: one row's change; exclusive: a consistent view of all
  mutable EpochDomain epochs_;
  std::unique_ptr<NodeStore> store_;
  RowTable rows_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VectorIndex>> MakeFlatIndex(const FlatOptions& options) {
  return FlatIndex::Make(options);
}

absl::StatusOr<std::unique_ptr<VectorIndex>> LoadFlatIndex(const SnapshotHeader& header, const LoadOptions& options,
                                                           SnapshotReader& reader) {
  ALCOVE_ASSIGN_OR_RETURN(auto index, FlatIndex::Make({.dim = header.layout.dim,
                                                       .metric = header.layout.metric,
                                                       .vectors = header.layout.vectors,
                                                       .vectors_directory = options.vectors_directory}));
  ALCOVE_RETURN_IF_ERROR(index->Load(header, reader));
  return index;
}

}  // namespace alcove::ann
