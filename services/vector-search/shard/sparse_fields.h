// The sparse fields of one shard: an inverted index for each. Text indexes follow the points' payload, vector indexes
// the vectors given.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/vector-search/collection/point.h"
#include "services/vector-search/collection/schema.h"
#include "services/vector-search/log/point_record.h"
#include "services/vector-search/sparse/sparse_index.h"

namespace alcove::vector_search {

// Numbers ascending and unique, values finite, no more than kMaxSparseComponents; INVALID_ARGUMENT without a field
// name.
absl::Status CheckComponents(absl::Span<const uint32_t> indices, absl::Span<const float> values);

// Thread safety: readers beside one writer. Payloads passed ValidatePayload; vectors passed CheckVectors.
class SparseFields {
 public:
  static constexpr size_t kNone = ~size_t{0};

  static absl::StatusOr<std::unique_ptr<SparseFields>> Make(const CollectionConfig& config);

  size_t size() const { return fields_.size(); }
  // The field's number, or kNone.
  size_t Find(absl::string_view name) const;
  bool is_text(size_t field) const { return fields_[field].config.is_text(); }
  const std::string& name(size_t field) const { return fields_[field].name; }

  // INVALID_ARGUMENT: a field that does not exist or is made of a text, or components as above.
  absl::Status CheckVectors(absl::Span<const SparseVector> vectors) const;

  // A point takes, changes or gives up a row. `before` and `after` are payloads; null when there is none.
  void SetPayload(Row row, const std::string* before, const std::string* after);
  // Replaces the vectors given; with `others_stay` false the row loses those that are not given.
  void SetVectors(Row row, absl::Span<const SparseVector> vectors, bool others_stay);
  // The row loses the vector of that name, if there is such a field.
  void RemoveVector(Row row, absl::string_view name);
  // Empty for a text field.
  SparseComponents Get(size_t field, Row row) const;

  // Of the query's words or components in the field. The query is of the field's kind.
  SparseStatistics Statistics(size_t field, const SearchQuery& query) const;
  std::vector<SparseHit> Search(size_t field, const SearchQuery& query, size_t k, const RowBitmap* filter,
                                SparseIndex::Stop stop) const;

  size_t MemoryBytes() const;

 private:
  struct Field {
    std::string name;
    SparseField config;
    std::unique_ptr<const Tokenizer> tokenizer;  // of a text field
    std::unique_ptr<TextIndex> text;             // one of these two
    std::unique_ptr<SparseVectorIndex> vectors;
  };
  std::vector<Field> fields_;  // in the order of config.sparse
};

}  // namespace alcove::vector_search
