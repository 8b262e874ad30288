// A filter checked against a schema: names resolved to field numbers, literals turned into the keys the indexes hold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/vector-search/collection/filter.h"
#include "services/vector-search/collection/schema.h"

namespace alcove::vector_search {

// The fields of a schema in a fixed order; a field's number is its place.
struct FieldList {
  struct Field {
    std::string path;
    FieldType type;
  };
  std::vector<Field> fields;

  explicit FieldList(const CollectionConfig& config);
  // The number of the field. INVALID_ARGUMENT blaming `label`, with the nearest name and those there are.
  absl::StatusOr<size_t> Find(absl::string_view label, absl::string_view path) const;
};

struct FilterPlan {
  enum class Kind : uint8_t { kAll, kNone, kKeyword, kBool, kNumbers, kRange, kHasId, kIsEmpty, kText, kGeo, kGroup };

  Kind kind = Kind::kAll;
  size_t field = 0;
  std::vector<std::string> keywords;               // kKeyword
  bool want_true = false, want_false = false;      // kBool
  std::vector<int64_t> numbers;                    // kNumbers: keys as PayloadIndex holds them
  int64_t low = INT64_MIN, high = INT64_MAX;       // kRange, both inclusive
  absl::flat_hash_set<std::string> ids;            // kHasId
  std::vector<std::string> words;                  // kText: kPhrase in their order, else ascending and unique
  TextMode text_mode = TextMode::kAll;             // kText
  std::shared_ptr<const GeoShape> shape;           // kGeo
  std::vector<FilterPlan> must, should, must_not;  // kGroup

  bool matches_everything() const { return kind == Kind::kAll; }
};

// INVALID_ARGUMENT for a field the schema does not have (naming it and those it has), a literal of the wrong type, a
// range without bounds or on a type that has no order, too many values, and nesting past kMaxFilterDepth.
absl::StatusOr<FilterPlan> PlanFilter(const CollectionConfig& config, const FieldList& fields, const Filter& filter);

// Whether the texts at `path` meet a plan of kind kText.
bool MatchesText(const FilterPlan& plan, absl::string_view payload, absl::string_view path);

// Whether one point matches, from its payload alone: the definition the indexes must agree with. `payload` is checked.
bool MatchesPoint(const FilterPlan& plan, const FieldList& fields, absl::string_view id, absl::string_view payload);

}  // namespace alcove::vector_search
