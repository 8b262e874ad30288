// The vectors of a collection as eight-bit integers, in rows that fill without holes: what encoded blocks are made of
// and what a snapshot keeps.
//
// Invariants
//  1. Rows are 0 … size()-1, each with a unique id. Removing a row moves the last one into its place.
//  2. Every row is round(scale * v) with the scale of the table; no number was clipped.
//
// Not thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove::fhe_proxy {

class RowTable {
 public:
  RowTable() = default;
  RowTable(uint32_t dimension, double scale) : dimension_(dimension), scale_(scale) {}

  uint32_t dimension() const { return dimension_; }
  double scale() const { return scale_; }
  size_t size() const { return ids_.size(); }
  const std::string& id(size_t row) const { return ids_[row]; }
  // When the row's document was last touched: grows with every change of this id.
  uint64_t revision(size_t row) const { return revisions_[row]; }
  absl::Span<const int8_t> values(size_t first, size_t count) const {
    return absl::MakeConstSpan(values_).subspan(first * dimension_, count * dimension_);
  }
  // Sum of squares of the largest row; 0 when empty.
  uint32_t max_energy() const;

  // Stores or replaces a point. OUT_OF_RANGE when a number does not fit eight bits at this table's scale; the table is
  // then unchanged and must be built again with a smaller one.
  absl::Status Put(absl::string_view id, absl::Span<const float> vector);
  // Does nothing for an id that is not there.
  void Remove(absl::string_view id);
  // The document of a point changed, not its vector.
  void Touch(absl::string_view id);

  // Rows changed since the last call, in no order; may name rows past the end.
  std::vector<size_t> TakeChangedRows();
  size_t MemoryBytes() const;

  // Appends a row as it was stored. For snapshots. INVALID_ARGUMENT for an id that is there already.
  absl::Status Restore(std::string id, absl::Span<const int8_t> values);

 private:
  static uint32_t Energy(absl::Span<const int8_t> row);

  uint32_t dimension_ = 0;
  double scale_ = 1;
  uint64_t next_revision_ = 1;
  size_t id_bytes_ = 0;
  std::vector<int8_t> values_;
  std::vector<std::string> ids_;
  std::vector<uint64_t> revisions_;
  std::vector<uint32_t> energies_;
  absl::flat_hash_map<std::string, size_t> rows_;
  absl::flat_hash_set<size_t> changed_;
};

}  // namespace alcove::fhe_proxy
