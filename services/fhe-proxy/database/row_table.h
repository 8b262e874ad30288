// The vectors of a collection as eight-bit integers, in rows that fill without holes, each with its point's id. The
// numbers live in a fhe::Database, which encodes the blocks that changed; a snapshot keeps rows and ids.
//
// Invariants
//  1. Rows are 0 … size()-1, each with a unique id. Removing a row moves the last one into its place.
//  2. Every row is round(scale * v) with the scale of the table; no number was clipped.
//  3. No row's sum of squares exceeds MaxRowEnergy, for which the noise of every reply is bounded.
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
#include "services/fhe-proxy/keys/parameter_sets.h"

namespace alcove::fhe_proxy {

// A scaled vector may be this much longer than the set's max_row_scale before the scale must be chosen again.
inline constexpr double kRowLengthRoom = 1.001;

// The largest sum of squares of a row: of a vector as long as max_row_scale allows, whatever rounding adds.
double MaxRowEnergy(const ParameterSet& set, uint32_t dimension);

// out[d] := round(scale * vector[d]). OUT_OF_RANGE when a number does not fit eight bits.
absl::Status QuantiseRow(absl::Span<const float> vector, double scale, absl::Span<int8_t> out);

class RowTable {
 public:
  // For vectors of `dimension` numbers, at most fhe::kMaxMacDimensions. Signs of rows are drawn from `seed`, which must
  // not depend on them. RESOURCE_EXHAUSTED (NOISE_BOUND) when rows of that many numbers could decrypt wrongly under the
  // set.
  static absl::StatusOr<RowTable> Create(const ParameterSet& set, uint32_t dimension, double scale,
                                         absl::string_view seed);

  const ParameterSet& set() const { return *set_; }
  uint32_t dimension() const { return static_cast<uint32_t>(database_->layout().dimensions()); }
  double scale() const { return scale_; }
  size_t size() const { return ids_.size(); }
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

  // How the rows there are now will be packed.
  absl::StatusOr<fhe::Layout> WantedLayout() const { return set_->LayoutFor(dimension(), size()); }
  // Encodes what changed since the last commit, on `pool`; blocks without a changed row are those of the commit before,
  // unless the layout had to change. On an error (memory) the next commit tries again.
  absl::StatusOr<std::shared_ptr<const fhe::DatabaseSnapshot>> Commit(TaskPool& pool);

  // Rows and ids.
  size_t RowBytes() const;
  // The blocks last committed, too.
  size_t MemoryBytes() const { return RowBytes() + database_->snapshot()->MemoryBytes(); }

 private:
  RowTable(const ParameterSet& set, double scale, std::unique_ptr<fhe::Database> database)
      : set_(&set), scale_(scale), database_(std::move(database)) {}
  absl::Status Append(std::string id, absl::Span<const int8_t> values);

  const ParameterSet* set_;
  double scale_;
  uint64_t next_revision_ = 1;
  size_t id_bytes_ = 0;
  std::unique_ptr<fhe::Database> database_;
  std::vector<std::string> ids_;
  std::vector<uint64_t> revisions_;
  std::vector<uint32_t> energies_;
  absl::flat_hash_map<std::string, size_t> rows_;
};

}  // namespace alcove::fhe_proxy
