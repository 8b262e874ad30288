// The vectors of a collection as eight-bit integers, in rows, each with its point's id. The numbers live in a
// fhe::Database, which encodes the blocks that changed; a snapshot keeps rows and ids.
//
// A large collection is cut into clusters (clusters.h): every block holds rows of one cluster only, and a cluster's
// last block may have room. Then some of the rows 0 … slots()-1 are empty.
//
// Invariants
//  1. Ids are unique. Without clusters slots() is size(); removing a row moves the last one, with clusters the last one
//     of its cluster, into its place.
//  2. Every row is round(scale * v) with the scale of the table; no number was clipped. Empty ones are zero.
//  3. No row's sum of squares exceeds MaxRowEnergy, for which the noise of every reply is bounded.
//  4. A row's id changes only together with its numbers.
//
// Not thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/common/task_pool.h"
#include "libs/fhe/search/database.h"
#include "services/fhe-proxy/database/clusters.h"
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

// A scaled vector may be this much longer than the set's max_row_scale before the scale must be chosen again.
inline constexpr double kRowLengthRoom = 1.001;

// The largest sum of squares of a row: of a vector as long as max_row_scale allows, whatever rounding adds.
double MaxRowEnergy(const ParameterSet& set, uint32_t dimension);

// out[d] := round(scale * vector[d]). OUT_OF_RANGE when a number does not fit eight bits.
absl::Status QuantiseRow(absl::Span<const float> vector, double scale, absl::Span<int8_t> out);

struct RowTableOptions {
  double scale = 1;
  std::string seed;           // signs of rows are drawn from it; must not depend on rows
  uint32_t cluster_rows = 0;  // about so many rows a cluster, once there are four times as many; 0: never
};

class RowTable {
 public:
  // For vectors of `dimension` numbers, at most fhe::kMaxMacDimensions. RESOURCE_EXHAUSTED (NOISE_BOUND) when rows of
  // that many numbers could decrypt wrongly under the set.
  static absl::StatusOr<RowTable> Create(const ParameterSet& set, uint32_t dimension, const RowTableOptions& options);

  const ParameterSet& set() const { return *set_; }
  uint32_t dimension() const { return static_cast<uint32_t>(database_->layout().dimensions()); }
  double scale() const { return options_.scale; }
  size_t size() const { return rows_.size(); }
  size_t slots() const { return ids_.size(); }
  // Whether row < slots() holds a point.
  bool occupied(size_t row) const { return revisions_[row] != 0; }
  const std::string& id(size_t row) const { return ids_[row]; }
  // When the row's document was last touched: grows with every change of this id.
  uint64_t revision(size_t row) const { return revisions_[row]; }
  absl::Span<const int8_t> values(size_t row) const { return database_->Row(row); }
  // Sum of squares of the largest row; 0 when empty.
  uint32_t max_energy() const;

  // Stores or replaces a point. OUT_OF_RANGE when a number does not fit eight bits at this table's scale or the row is
  // too long; the table is then unchanged and must be built again with a smaller one.
  absl::Status Put(absl::string_view id, absl::Span<const float> vector);
  // Does nothing for an id that is not there.
  void Remove(absl::string_view id);
  // The document of a point changed, not its vector.
  void Touch(absl::string_view id);
  // Appends a row as it was stored. For snapshots. INVALID_ARGUMENT for an id that is there already, OUT_OF_RANGE for a
  // row that is too long.
  absl::Status Restore(std::string id, absl::Span<const int8_t> values);
  // The clusters rows stood in and how many there were when they were cut, before any row is restored: clients go by
  // the clusters' centroids, which must outlive a restart.
  absl::Status RestoreClusters(std::shared_ptr<const Clusters> clusters, size_t clustered_rows);

  // Bytes of the blocks that Commit will have made; with clusters a bound.
  absl::StatusOr<size_t> WantedBytes() const;
  // Encodes what changed since the last commit, on `pool`; blocks without a changed row are those of the commit before,
  // unless the layout had to change or the rows were cut into clusters, which is done when there are four times
  // cluster_rows of them, again whenever they have doubled or halved, and undone below twice; in between rows are moved
  // among the same clusters when too many blocks are half empty. On an error (memory) the next commit tries again.
  absl::StatusOr<std::shared_ptr<const fhe::DatabaseSnapshot>> Commit(TaskPool& pool);
  // As of the last commit; null without clusters.
  const std::shared_ptr<const Clusters>& clusters() const { return clusters_; }
  // Rows when the clusters were made; 0 without clusters.
  size_t clustered_rows() const { return clustered_rows_; }
  // The blocks of a cluster.
  absl::Span<const uint32_t> blocks(size_t cluster) const { return places_[cluster].blocks; }

  // Rows and ids.
  size_t RowBytes() const;
  // The blocks last committed, too.
  size_t MemoryBytes() const { return RowBytes() + database_->snapshot()->MemoryBytes(); }

 private:
  // Where the rows of a cluster stand: its row k in block blocks[k / rows_per_block].
  struct Place {
    std::vector<uint32_t> blocks;
    size_t rows = 0;
  };

  RowTable(const ParameterSet& set, RowTableOptions options, std::unique_ptr<fhe::Database> database)
      : set_(&set), options_(std::move(options)), database_(std::move(database)), places_(1) {}
  absl::StatusOr<fhe::Layout> WantedLayout() const;
  // Cut at four clusters' rows, together again below two's: a collection at the edge is not packed anew all the time.
  bool WantsClusters() const {
    return options_.cluster_rows > 0 && size() >= size_t{clusters_ == nullptr ? 4u : 2u} * options_.cluster_rows;
  }
  // Whether clusters take many more blocks than full ones would be, and moving rows may help.
  bool Ragged() const;
  size_t BlocksInUse() const { return block_cluster_.size() - free_blocks_.size(); }
  // Places every row anew: in new clusters, in those there are with new weights, or in none.
  enum class Cut : uint8_t { kAnew, kRefit };
  absl::Status PlaceRows(Cut cut, TaskPool& pool);
  absl::Status CheckLength(absl::Span<const int8_t> values) const;
  absl::Status Append(std::string id, absl::Span<const int8_t> values, uint64_t revision);
  size_t ClusterOf(size_t row) const;
  // The row of the cluster's row k, which exists or is the next one.
  size_t RowOf(size_t cluster, size_t k) const;

  const ParameterSet* set_;
  RowTableOptions options_;
  uint64_t next_revision_ = 1;
  size_t id_bytes_ = 0;
  std::unique_ptr<fhe::Database> database_;
  std::vector<std::string> ids_;
  std::vector<uint64_t> revisions_;
  std::vector<uint32_t> energies_;
  absl::flat_hash_map<std::string, size_t> rows_;
  std::shared_ptr<const Clusters> clusters_;
  size_t clustered_rows_ = 0;            // when they were cut
  size_t fitted_rows_ = 0;               // when rows were last moved to fill blocks
  std::vector<Place> places_;            // by cluster; one without clusters, whose blocks are not listed
  std::vector<uint32_t> block_cluster_;  // with clusters
  std::vector<uint32_t> free_blocks_;
};

}  // namespace alcove::fhe_proxy
