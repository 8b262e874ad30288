#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace alcove::ann {

// Dense row number chosen by the caller, 0 <= row < 2^31. A row may be added again after Remove(). Memory grows with
// the largest row number, so callers keep them dense.
using RowId = uint32_t;
inline constexpr RowId kMaxRow = (RowId{1} << 31) - 1;

inline constexpr size_t kMaxDim = 65536;
inline constexpr size_t kMaxK = 65536;
inline constexpr size_t kMaxEf = 65536;

// How two vectors are compared. In every metric a higher score is a better match:
//   kCosine  cosine similarity, in [-1, 1] up to rounding; zero vectors are rejected
//   kDot     inner product
//   kL2      minus the squared Euclidean distance, <= 0
enum class Metric : uint8_t { kCosine = 1, kDot = 2, kL2 = 3 };

// What is kept of each vector. "codes" guide the search, "vectors" decide the final order and answer Get().
enum class Storage : uint8_t {
  kNone = 0,  // this half is not kept; the other one does both jobs
  kF32 = 1,   // exactly the caller's values
  kF16 = 2,   // half precision of the direction, norm in f32: relative error <= 2^-11 an element
  kInt8 = 3,  // 8 bits a dimension
  kInt4 = 4,  // 4 bits a dimension
  kInt6 = 5,  // 6 bits a dimension, beside 4-bit codes, which hold 4 of them
  kBit1 = 6,  // 1 bit a dimension (RaBitQ): estimates with a known error bound, which decides how many are ranked
};

struct Neighbor {
  RowId row = 0;
  float score = 0;  // see Metric; higher is better
  friend bool operator==(const Neighbor&, const Neighbor&) = default;
};

// Which rows a search may return. Thread safety: const methods are called from any search thread, and rows may be
// asked that have just been removed; the answer for those does not matter.
class RowFilter {
 public:
  virtual ~RowFilter() = default;
  virtual bool Matches(RowId row) const = 0;
  // About how many rows of the index match; only chooses the strategy, never the result. Negative: unknown (the
  // index then samples Matches()).
  virtual double EstimatedCount() const { return -1; }
  // Calls `visit` for every matching row, in any order, until it returns false. Returns false, without calling, when
  // matching rows cannot be enumerated cheaper than by asking Matches() for all of them.
  virtual bool ForEachMatch(absl::FunctionRef<bool(RowId)> visit) const { return false; }
};

// Asked now and then during a search, from the searching thread. True ends the search with CANCELLED.
class StopCheck {
 public:
  virtual ~StopCheck() = default;
  virtual bool ShouldStop() const = 0;
};

struct SearchParams {
  size_t k = 10;       // results wanted, 1..kMaxK; fewer come back when fewer rows match
  size_t ef = 64;      // breadth of the search, 1..kMaxEf; raised to k. Flat indexes ignore it
  size_t rerank = 0;   // candidates re-scored on the stored vectors; 0: until the codes' error bound says
                       // that the rest cannot matter
  bool exact = false;  // scan every (matching) row on the stored vectors
  const RowFilter* filter = nullptr;  // null: every row. Must outlive the call
  const StopCheck* stop = nullptr;    // null: never. Must outlive the call
};

// Bytes, as held in memory now (committed pages, so the sum follows the growth of RSS).
struct MemoryBreakdown {
  size_t vectors = 0;  // what Get() reads
  size_t codes = 0;    // quantised copies with their scales
  size_t links = 0;    // graph
  size_t mapping = 0;  // row <-> node tables, tombstones, locks
  size_t scratch = 0;  // buffers kept for searches
  size_t on_disk = 0;  // vectors in files, which the system caches while it has room; not in total()
  size_t total() const { return vectors + codes + links + mapping + scratch; }
};

// Where a snapshot goes, and where it comes from. Implemented by the caller (file, buffer, test).
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Append(std::string_view bytes) = 0;
};
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Reads up to `size` bytes into `out`; returns how many, 0 only at the end.
  virtual absl::StatusOr<size_t> Read(char* out, size_t size) = 0;
};

// A set of vectors, searchable by similarity.
//
// Thread safety: every method may be called from any thread at any time. Searches never wait for writers (no lock is
// taken on the search path) and see each row either before or after a concurrent change, never in between; Add and
// Update run in parallel with one another; Remove, SaveTo and Optimize make other *writers* wait. A row whose Add
// returned is visible to every search that starts afterwards. Two writers must not change the same row at the same
// time: which change wins is unspecified, and the other may fail with ABORTED.
//
// Errors: INVALID_ARGUMENT (wrong dimension, NaN or infinity, zero vector under kCosine, row > kMaxRow, k or ef
// outside limits), each naming the row; ALREADY_EXISTS (Add), NOT_FOUND (Update, Remove, Get);
// RESOURCE_EXHAUSTED (memory or configured capacity); CANCELLED (stop check). A failed call changes nothing.
class VectorIndex {
 public:
  virtual ~VectorIndex() = default;

  // Inserts a new row. `vector` has dim() values, copied.
  virtual absl::Status Add(RowId row, absl::Span<const float> vector) = 0;

  // Inserts rows[i] with vectors[i * dim() .. (i + 1) * dim()), on up to `threads` threads (the caller's included;
  // 0: the index's max_threads). Every vector is checked before the first is inserted. Much faster than Add one by one.
  virtual absl::Status AddBatch(absl::Span<const RowId> rows, absl::Span<const float> vectors, size_t threads = 0) = 0;

  // Replaces the vector of an existing row. Searches find the old or the new one, never neither.
  virtual absl::Status Update(RowId row, absl::Span<const float> vector) = 0;

  virtual absl::Status Remove(RowId row) = 0;

  // Best matches, best first, equal scores by lower row. Scores come from the stored vectors (codes when none are
  // stored) and the unmodified query.
  virtual absl::StatusOr<std::vector<Neighbor>> Search(absl::Span<const float> query,
                                                       const SearchParams& params) const = 0;

  // The same for several queries, `queries` [count, dim()]: result i equals Search of query i. HNSW interleaves them to
  // hide memory latency; runs on the calling thread.
  virtual absl::StatusOr<std::vector<std::vector<Neighbor>>> SearchBatch(absl::Span<const float> queries,
                                                                         const SearchParams& params) const = 0;

  // The row's vector as the caller gave it (not normalised, also under kCosine): bit for bit when vectors are stored as
  // kF32, otherwise within that storage's precision.
  virtual absl::StatusOr<std::vector<float>> Get(RowId row) const = 0;
  virtual bool Contains(RowId row) const = 0;

  // Scores the given rows (those not present are left out) against the query, in the order given.
  virtual absl::StatusOr<std::vector<Neighbor>> Score(absl::Span<const float> query,
                                                      absl::Span<const RowId> rows) const = 0;

  virtual size_t size() const = 0;
  virtual size_t dim() const = 0;
  virtual Metric metric() const = 0;
  virtual MemoryBreakdown MemoryUsage() const = 0;

  // Background work worth doing when writes have calmed down: purges all tombstones and, for HNSW, renumbers nodes so
  // that neighbours lie near one another in memory. Searches go on; other writers wait. Needs memory for a second copy
  // of the index while it runs.
  virtual absl::Status Optimize() = 0;

  // Writes a self-describing snapshot (docs/formats/ann_snapshot.md) of one moment.
  virtual absl::Status SaveTo(ByteSink& sink) const = 0;
};

struct FlatOptions {
  size_t dim = 0;  // 1..kMaxDim
  Metric metric = Metric::kCosine;
  Storage vectors = Storage::kF32;  // kF32 or kF16
  std::string vectors_directory;    // see HnswOptions
};

struct HnswOptions {
  size_t dim = 0;  // 1..kMaxDim
  Metric metric = Metric::kCosine;
  size_t m = 16;                   // links a node on the upper layers, 2 m on the base layer; 4..64
  size_t ef_construction = 128;    // breadth of the search that finds a new node's neighbours, m..4096
  uint64_t seed = 1;               // of the level draw and the rotation
  Storage codes = Storage::kInt8;  // guide the search: kInt8, kInt4, kBit1, or kNone to search on `vectors`
  // kF32 or kF16; beside kInt8 or kInt4 also kNone (codes alone; Get is approximate); beside kInt4 also kInt8 or kInt6,
  // of which the codes already hold 4 bits (compact).
  Storage vectors = Storage::kF32;
  size_t max_threads = 0;  // for AddBatch; 0: number of CPUs
  // With `deterministic`, AddBatch inserts in order on one thread: the same calls give the same graph bit for bit.
  bool deterministic = false;
  size_t max_rows = size_t{1} << 26;  // capacity: address space reserved, not memory
  // Keeps the vectors in a file without a name in this directory; empty: in memory. Codes and links stay in memory, so
  // a search reads the disk only for the few candidates it ranks at the end.
  std::string vectors_directory;
};

absl::StatusOr<std::unique_ptr<VectorIndex>> MakeFlatIndex(const FlatOptions& options);
absl::StatusOr<std::unique_ptr<VectorIndex>> MakeHnswIndex(const HnswOptions& options);

struct LoadOptions {
  size_t max_threads = 0;
  size_t max_bytes = ~size_t{0};  // refuses (RESOURCE_EXHAUSTED) snapshots that would need more memory
  std::string vectors_directory;  // see HnswOptions; what the snapshot was made with does not matter
};

// Reads what SaveTo wrote, flat or HNSW. DATA_LOSS: truncated, damaged, inconsistent, or of an older format;
// FAILED_PRECONDITION: written by a newer version.
absl::StatusOr<std::unique_ptr<VectorIndex>> LoadIndex(ByteSource& source, const LoadOptions& options = {});

// The same from a file that holds nothing else, with the vectors mapped instead of copied: they take no memory of the
// process beyond what the system caches, which it can drop; codes and links are loaded. Nobody may change the file
// while the index lives (a new snapshot replaces it by rename). Changes to the index never reach the file; after
// Optimize() all vectors are in memory. NOT_FOUND when there is no such file.
absl::StatusOr<std::unique_ptr<VectorIndex>> OpenIndex(const std::string& path, const LoadOptions& options = {});

}  // namespace alcove::ann
