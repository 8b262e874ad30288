// Points and the questions asked about them, as values of this service.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/vector-search/collection/filter.h"
#include "services/vector-search/collection/payload.h"
#include "services/vector-search/collection/sparse_values.h"

namespace alcove::vector_search {

struct NamedVector {
  std::string name;  // "" is the default vector
  std::vector<float> values;
};

struct StoredPoint {
  std::string id;
  std::vector<NamedVector> vectors;  // of a reply: empty unless asked for
  std::string payload;               // payload bytes (payload.h); empty means none
  std::vector<NamedSparse> sparse;   // of a reply: empty unless asked for
};

struct HighlightedField {
  std::string field;
  std::vector<std::string> fragments;
};

struct FoundPoint {
  std::string id;
  float score = 0;            // higher is nearer
  std::string payload;        // payload bytes, as far as asked for
  std::vector<float> vector;  // of the field searched, if asked for
  // The rest only where a coordinator fills it in, and if asked for.
  std::vector<NamedVector> named_vectors;
  std::vector<NamedSparse> sparse_vectors;
  std::vector<HighlightedField> highlights;
};

// The order of results: nearest first, equal scores by id.
inline bool RanksBefore(const FoundPoint& a, const FoundPoint& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// Exactly one of vector, sparse and text is the query, and the field is of that kind.
struct SearchQuery {
  std::vector<float> vector;
  SparseComponents sparse;
  std::string text;
  std::string vector_name;  // of a vector field or a sparse field
  uint32_t limit = 10;
  Filter filter;
  std::optional<float> score_threshold;  // points that score less are left out
  PayloadSelector payload;
  bool with_vectors = false;
  uint32_t ef = 0;  // 0 takes the collection's setting
  bool exact = false;
  std::string exclude_id;
  std::optional<SparseStatistics> statistics;  // of all shards, for a sparse field; absent takes the shard's own
};

struct GetQuery {
  std::vector<std::string> ids;
  PayloadSelector payload;
  bool with_vectors = false;
};

// How many points hold each value of a field.
struct FacetQuery {
  std::string field;
  Filter filter;
  uint32_t limit = 10;  // most values, the most frequent ones
};

struct ScrollQuery {
  std::string after_id;
  uint32_t limit = 100;
  Filter filter;
  PayloadSelector payload;
  bool with_vectors = false;
};

}  // namespace alcove::vector_search
