// What a search over a whole collection asks for, and what it answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/vector-search/collection/payload_index.h"
#include "services/vector-search/collection/point.h"
#include "services/vector-search/query/diversity.h"
#include "services/vector-search/query/fusion.h"
#include "services/vector-search/query/highlight.h"
#include "services/vector-search/query/recommend.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxPrefetch = 16;
inline constexpr uint32_t kMaxPrefetchLimit = 11'000;
inline constexpr uint32_t kMaxDiversityCandidates = 2'000;
inline constexpr uint32_t kMaxGroups = 100;
inline constexpr uint32_t kMaxGroupOffset = 1'000;
inline constexpr uint32_t kMaxGroupSize = 100;
inline constexpr uint32_t kMaxRrfK = 10'000;
inline constexpr size_t kMaxQueryTextBytes = 32 << 10;
inline constexpr size_t kMaxHighlightFields = 8;

// One of several rankings. Its query's limit 0 chooses one.
struct PrefetchCall {
  SearchQuery query;  // without payload and vectors
  std::string id;     // instead of query.vector
  double weight = 1;
};

struct DiversityCall {
  DiversityMethod method = DiversityMethod::kMmr;
  double lambda = 0.5;
  uint32_t candidates = 0;  // 0 chooses
  std::string vector_name;  // empty: the field searched, or the default vector
};

struct GroupCall {
  std::string field;
  uint32_t group_size = 0;  // 0 means 3
};

struct SearchCall {
  std::string collection;
  SearchQuery query;  // limit 0 means 10; exclude_id and statistics are set by the coordinator
  std::string id;     // exactly one of query.vector, id, query.sparse, query.text and prefetch
  std::vector<PrefetchCall> prefetch;
  FusionMethod fusion = FusionMethod::kRrf;
  uint32_t rrf_k = kDefaultRrfK;
  std::optional<DiversityCall> diversity;
  std::optional<GroupCall> group;
  std::optional<HighlightOptions> highlight;
  uint32_t offset = 0;
  std::string min_sequence;
  bool allow_partial = false;
  // Set by the coordinator when it recommends.
  std::vector<std::string> exclude_ids;
  std::optional<std::pair<Examples, Examples>> judge;  // candidates are ranked by BestScore(positive, negative)
};

struct RecommendCall {
  std::string collection;
  std::vector<std::string> positive_ids, negative_ids;
  Examples positive, negative;
  RecommendStrategy strategy = RecommendStrategy::kAverageVector;
  SearchCall search;  // everything but the query
};

struct FoundGroup {
  Literal value;
  std::vector<FoundPoint> points;
};

struct SearchReply {
  std::vector<FoundPoint> points;
  std::vector<FoundGroup> groups;  // instead of points when groups were asked for
  uint32_t asked = 0;
  uint32_t answered = 0;
  std::vector<std::string> failures;
};

struct FacetCall {
  std::string collection;
  FacetQuery query;  // limit 0 means 10
  std::string min_sequence;
};

struct FacetReply {
  std::vector<ValueCount> counts;
  uint64_t distinct = 0;
  bool exact = true;
};

// What changes of a point that exists.
struct PointChange {
  std::string id;
  std::vector<NamedVector> vectors;
  std::vector<NamedSparse> sparse;
  std::vector<std::string> remove_vectors;
  std::optional<std::string> payload;  // bytes
  bool replace_payload = false;
};

}  // namespace alcove::vector_search
