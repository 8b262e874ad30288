// Indexes over the payload fields of one shard's rows: keywords, words of texts and bool values map to row sets,
// numbers and times lie in order, places along a curve. A filter plan evaluates to a bitmap of rows.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <absl/container/btree_set.h>
#include <absl/container/node_hash_map.h>
#include <absl/functional/function_ref.h>
#include <absl/strings/string_view.h>

#include "services/vector-search/collection/filter_plan.h"
#include "services/vector-search/collection/row_set.h"

namespace alcove::vector_search {

// What an index does not hold itself of the rows it knows.
struct RowSource {
  absl::FunctionRef<Row(absl::string_view id)> find;      // the row of an id, or PayloadIndex::kNoRow
  absl::FunctionRef<absl::string_view(Row row)> payload;  // of a live row
};

// How many rows hold a value.
struct ValueCount {
  std::variant<std::string, int64_t, bool> value;
  uint64_t count = 0;
  friend bool operator==(const ValueCount&, const ValueCount&) = default;
};

// The most frequent first, equal ones by value.
inline bool CountsBefore(const ValueCount& a, const ValueCount& b) {
  return a.count != b.count ? a.count > b.count : a.value < b.value;
}
// The number of a field whose values can be counted. INVALID_ARGUMENT for an unknown field and for other types than
// keyword, integer and bool.
absl::StatusOr<size_t> FacetField(const FieldList& fields, absl::string_view path);

// Thread safety: none; the shard's lock guards it.
class PayloadIndex {
 public:
  explicit PayloadIndex(FieldList fields);

  const FieldList& fields() const { return fields_; }

  // `row` is not in the index. `payload` passed ValidatePayload; values of a type other than the schema's count as not
  // indexed (but not as empty).
  void Add(Row row, absl::string_view payload);
  // Takes exactly what Add(row, payload) put in.
  void Remove(Row row, absl::string_view payload);

  const RowSet& live() const { return live_; }
  size_t size() const { return live_.size(); }

  // Rows below `capacity` that match; the plan was made for these fields.
  // Cost: one bit per row and condition, a few nanoseconds for each value in a range and for each place near the border
  // of a shape, and the cutting of each candidate's text for a phrase.
  static constexpr Row kNoRow = ~Row{0};
  RowBitmap Evaluate(const FilterPlan& plan, size_t capacity, const RowSource& rows) const;

  // How many rows hold each value of a keyword, integer or bool field, in no order; `among` null counts every row.
  // Values that no such row holds are left out. Cost: the field's whole index.
  std::vector<ValueCount> CountValues(size_t field, const RowBitmap* among) const;

  size_t MemoryBytes() const;

 private:
  struct Field {
    // By keyword, or by word of a text; empty sets are removed.
    absl::node_hash_map<std::string, RowSet> keywords;
    RowSet yes, no;
    absl::btree_set<std::pair<int64_t, Row>> numbers;
    GeoIndex places;
    RowSet filled;  // rows where the field is not empty
  };
  void Evaluate(const FilterPlan& plan, RowBitmap& out, const RowSource& rows) const;
  void EvaluateText(const FilterPlan& plan, RowBitmap& out, const RowSource& rows) const;

  FieldList fields_;
  std::vector<Field> index_;  // [field]
  RowSet live_;
};

}  // namespace alcove::vector_search
