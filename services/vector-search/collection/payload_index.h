// Indexes over the payload fields of one shard's rows: keyword and bool values map to row sets, numbers and times lie
// in order. A filter plan evaluates to a bitmap of rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/btree_set.h>
#include <absl/container/node_hash_map.h>
#include <absl/functional/function_ref.h>
#include <absl/strings/string_view.h>

#include "services/vector-search/collection/filter_plan.h"
#include "services/vector-search/collection/row_set.h"

namespace alcove::vector_search {

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

  // Rows below `capacity` that match; the plan was made for these fields. `find_id` gives the row of an id or kNoRow.
  // Cost: one bit per row and condition, and a few nanoseconds for each value in a range.
  static constexpr Row kNoRow = ~Row{0};
  RowBitmap Evaluate(const FilterPlan& plan, size_t capacity,
                     absl::FunctionRef<Row(absl::string_view id)> find_id) const;

  size_t MemoryBytes() const;

 private:
  struct Field {
    // Keyed by text; empty sets are removed.
    absl::node_hash_map<std::string, RowSet> keywords;
    RowSet yes, no;
    absl::btree_set<std::pair<int64_t, Row>> numbers;
    RowSet filled;  // rows where the field is not empty
  };
  void Evaluate(const FilterPlan& plan, RowBitmap& out, absl::FunctionRef<Row(absl::string_view)> find_id) const;

  FieldList fields_;
  std::vector<Field> index_;  // [field]
  RowSet live_;
};

}  // namespace alcove::vector_search
