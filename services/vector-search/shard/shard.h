// One shard of one collection in memory: points by id, their payload and its indexes, one vector index per vector
// field. Everything here is derived from the shard's log; the log's tailer feeds it through LogSink.
//
// Concurrency. Readers (Search, Get, Scroll, Count, Size) run on any thread while one applier changes the shard:
//   apply_mutex_  one Apply, Reset or snapshot at a time. Readers never take it.
//   mutex_        id → row, row → record, payload indexes. Readers share it while they evaluate a filter and while they
//                 look up the few records they return; the applier holds it for microseconds per point, never while it
//                 works on a vector index.
//   vector index  its searches take no lock at all (libs/ann/index.h).
//   sparse index  has a lock of its own, which the applier holds for microseconds per point.
// A search is three steps: (1) evaluate the filter under mutex_, (2) search the vector index without it, (3) look up
// the rows found under mutex_. Between them the applier may go on, so step 3 looks again: a row that was given to
// another point in between is dropped, and a point whose payload changed must still match the filter.
//
// Invariants:
//  1. A point keeps its row as long as it exists. rows_[by_id_[id]]->id == id.
//  2. A record is published before its vectors enter an index and withdrawn after they left it, so that every row an
//     index returns has a record unless the point is just being deleted.
//  3. applied_sequence() never runs ahead of what searches can see.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

#include "libs/ann/index.h"
#include "libs/common/metrics.h"
#include "libs/common/request_context.h"
#include "libs/store/types.h"
#include "services/vector-search/collection/filter_plan.h"
#include "services/vector-search/collection/payload_index.h"
#include "services/vector-search/collection/point.h"
#include "services/vector-search/collection/schema.h"
#include "services/vector-search/log/log_tailer.h"
#include "services/vector-search/shard/snapshot_file.h"
#include "services/vector-search/shard/sparse_fields.h"

namespace alcove::vector_search {

using IndexFactory = std::function<absl::StatusOr<std::unique_ptr<ann::VectorIndex>>(const VectorField&)>;
// HNSW with the field's settings; `threads` limits its batch insertion. Vectors that are to be on disk lie in
// `vectors_directory`.
IndexFactory HnswFactory(size_t threads, const std::string& vectors_directory);

struct ShardOptions {
  store::ShardAddress address;
  // Tells the collection from another one that had the same number in another database. Kept in snapshots.
  std::string identity;
  CollectionConfig config;
  IndexFactory make_index;        // null: HnswFactory(index_threads, vectors_directory)
  size_t index_threads = 1;       // for inserting groups of new points
  std::string vectors_directory;  // for fields that keep their vectors on disk; must exist
  Registry* registry = nullptr;   // null: no metrics
  // Called on the applier's thread after everything up to `sequence` can be found.
  std::function<void(store::Sequence sequence)> on_applied;
};

struct ShardSize {
  int64_t points = 0;
  int64_t memory_bytes = 0;
  int64_t disk_bytes = 0;  // of vectors in files, which the system caches
};

class Shard final : public LogSink {
 public:
  static absl::StatusOr<std::unique_ptr<Shard>> Create(ShardOptions options);

  // Operations at or below applied_sequence() are passed over, so handing them over again is harmless.
  absl::Status Apply(absl::Span<const TailedOperation> operations) override;
  absl::Status Reset() override;

  store::Sequence applied_sequence() const { return applied_.load(std::memory_order_acquire); }

  // Nearest first (RanksBefore), at most query.limit. INVALID_ARGUMENT: unknown vector field, wrong dimension, a filter
  // that does not fit the schema. DEADLINE_EXCEEDED or CANCELLED as the context says.
  absl::StatusOr<std::vector<FoundPoint>> Search(const RequestContext& ctx, const SearchQuery& query) const;
  // What the scores of a search in a sparse field depend on besides the points; errors as Search.
  absl::StatusOr<SparseStatistics> Statistics(const SearchQuery& query) const;
  // How many points that match hold each value of a keyword, integer or bool field: all values, the most frequent ones
  // first, equal ones by value. INVALID_ARGUMENT: unknown field or one of another type, a filter that does not fit.
  absl::StatusOr<std::vector<ValueCount>> Facet(const FacetQuery& query) const;
  // In the order of the ids, missing ones left out.
  absl::StatusOr<std::vector<StoredPoint>> Get(const GetQuery& query) const;
  // The next points after query.after_id in order of id.
  absl::StatusOr<std::vector<StoredPoint>> Scroll(const ScrollQuery& query) const;
  // Points that match, exactly.
  absl::StatusOr<int64_t> Count(const Filter& filter) const;
  // Ids of up to `limit` points that match, ascending, after `after_id`.
  absl::StatusOr<std::vector<std::string>> MatchingIds(const Filter& filter, absl::string_view after_id,
                                                       size_t limit) const;

  ShardSize Size() const;
  const ShardOptions& options() const { return options_; }
  // Log records passed over because they do not fit the collection; anything but 0 is a bug somewhere.
  uint64_t bad_records() const { return bad_records_.load(std::memory_order_relaxed); }
  // Points inserted, replaced or deleted since the process began.
  uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

  // Writes the snapshot of one moment to writer (applying waits, readers do not), without Commit. Returns the sequence
  // the snapshot contains.
  absl::StatusOr<store::Sequence> SaveTo(SnapshotWriter& writer) const;
  // NOT_FOUND: no such file. FAILED_PRECONDITION: newer version. DATA_LOSS: damaged, or of another collection, or of
  // other settings; the shard must then be rebuilt from the log.
  static absl::StatusOr<std::unique_ptr<Shard>> Load(ShardOptions options, const std::string& path);

  // Lets the vector indexes tidy up; slow, and applying waits meanwhile.
  absl::Status Optimize();

 private:
  // Immutable once published: readers keep it by reference count after they let go of mutex_.
  struct Record {
    std::string id;
    std::string payload;
    store::Sequence sequence = 0;
    uint64_t changed = 0;  // value of clock_ when this version was published
    uint64_t born = 0;     // value of clock_ when the point took this row
    bool reused = false;   // the row belonged to another point before
  };
  using RecordPtr = std::shared_ptr<const Record>;
  // The vector indexes in the order of config.vectors. Replaced as a whole by Reset.
  using Indexes = std::vector<std::unique_ptr<ann::VectorIndex>>;
  // A new point waiting to be inserted with others.
  struct Staged {
    const TailedOperation* operation;
    std::vector<const DenseVector*> vectors;  // [field], null when absent
  };
  struct Found {
    RecordPtr record;
    Row row;
    float score;
  };

  explicit Shard(ShardOptions options);
  absl::StatusOr<std::shared_ptr<const Indexes>> MakeIndexes() const;

  // shard_apply.cc
  absl::Status ApplyOne(const TailedOperation& tailed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status Replace(Row row, const TailedOperation& tailed, const std::vector<const DenseVector*>& vectors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status Delete(Row row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status SetPayload(Row row, const TailedOperation& tailed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status SetVectors(Row row, const TailedOperation& tailed, const std::vector<const DenseVector*>& vectors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status FlushStaged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  void Publish(Row row, std::string payload, store::Sequence sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Row Insert(absl::string_view id, std::string payload, store::Sequence sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The operation's vectors by field; an error when they do not fit the collection.
  absl::StatusOr<std::vector<const DenseVector*>> MatchVectors(const PointOperation& operation) const;
  void AdvanceTo(store::Sequence sequence);
  void CountBad(const TailedOperation& tailed, const absl::Status& why);

  // shard.cc
  Row FindRow(absl::string_view id) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<Found>> SearchRows(const RequestContext& ctx, const SearchQuery& query, size_t field,
                                                bool sparse) const;
  RowBitmap Matching(const FilterPlan& plan) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // The number of the sparse field a query is about; INVALID_ARGUMENT when it is of another kind.
  absl::StatusOr<size_t> SparseFieldOf(const SearchQuery& query) const;
  // Every vector of a row.
  absl::Status FillVectors(const Indexes& indexes, const SparseFields& sparse, Row row, StoredPoint& point) const;
  std::vector<std::pair<Row, RecordPtr>> Collect(const FilterPlan& plan, absl::string_view after_id, size_t limit) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  // shard_snapshot.cc
  absl::Status LoadHeader(absl::string_view bytes);
  absl::Status LoadRecords(absl::string_view bytes);
  absl::Status LoadIndex(SnapshotReader& reader, absl::string_view field);
  absl::Status SaveSparse(SnapshotWriter& writer) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status LoadSparse(absl::string_view bytes);

  const ShardOptions options_;
  std::vector<std::string> field_names_;  // in the order of config.vectors
  // Seconds of the three steps of a search; null without a registry.
  Histogram* filter_seconds_ = nullptr;
  Histogram* index_seconds_ = nullptr;
  Histogram* lookup_seconds_ = nullptr;
  Histogram* ef_ = nullptr;

  mutable absl::Mutex apply_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::vector<Staged> staged_ ABSL_GUARDED_BY(apply_mutex_);
  absl::flat_hash_set<absl::string_view> staged_ids_ ABSL_GUARDED_BY(apply_mutex_);

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Indexes> indexes_ ABSL_GUARDED_BY(mutex_);
  // Replaced as a whole by Reset; only the applier changes what is in it.
  std::shared_ptr<SparseFields> sparse_ ABSL_GUARDED_BY(mutex_);
  // Keys are views of the records' ids.
  absl::btree_map<absl::string_view, Row> by_id_ ABSL_GUARDED_BY(mutex_);
  std::vector<RecordPtr> rows_ ABSL_GUARDED_BY(mutex_);
  std::vector<Row> free_rows_ ABSL_GUARDED_BY(mutex_);
  PayloadIndex payload_index_ ABSL_GUARDED_BY(mutex_);
  uint64_t clock_ ABSL_GUARDED_BY(mutex_) = 0;            // counts publications
  bool all_rows_reused_ ABSL_GUARDED_BY(mutex_) = false;  // after Reset
  int64_t record_bytes_ ABSL_GUARDED_BY(mutex_) = 0;

  std::atomic<store::Sequence> applied_{0};
  std::atomic<uint64_t> bad_records_{0};
  std::atomic<uint64_t> changes_{0};
};

}  // namespace alcove::vector_search
