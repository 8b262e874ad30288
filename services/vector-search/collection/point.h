// Points and the questions asked about them, as values of this service.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/vector-search/collection/filter.h"
#include "services/vector-search/collection/payload.h"

namespace alcove::vector_search {

struct NamedVector {
  std::string name;  // "" is the default vector
  std::vector<float> values;
};

struct StoredPoint {
  std::string id;
  std::vector<NamedVector> vectors;  // of a reply: empty unless asked for
  std::string payload;               // payload bytes (payload.h); empty means none
};

struct FoundPoint {
  std::string id;
  float score = 0;            // higher is nearer
  std::string payload;        // payload bytes, as far as asked for
  std::vector<float> vector;  // if asked for
};

// The order of results: nearest first, equal scores by id.
inline bool RanksBefore(const FoundPoint& a, const FoundPoint& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

struct SearchQuery {
  std::vector<float> vector;
  std::string vector_name;
  uint32_t limit = 10;
  Filter filter;
  std::optional<float> score_threshold;  // points that score less are left out
  PayloadSelector payload;
  bool with_vectors = false;
  uint32_t ef = 0;  // 0 takes the collection's setting
  bool exact = false;
  std::string exclude_id;
};

struct GetQuery {
  std::vector<std::string> ids;
  PayloadSelector payload;
  bool with_vectors = false;
};

struct ScrollQuery {
  std::string after_id;
  uint32_t limit = 100;
  Filter filter;
  PayloadSelector payload;
  bool with_vectors = false;
};

}  // namespace alcove::vector_search
