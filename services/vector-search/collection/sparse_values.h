// Sparse vectors and what their scores depend on, as values that travel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace alcove::vector_search {

inline constexpr size_t kMaxSparseComponents = 65'536;  // of a stored vector
inline constexpr size_t kMaxQueryTerms = 1'024;         // words or components of one query

// Components of a sparse vector: numbers ascending, each once, finite values.
struct SparseComponents {
  std::vector<uint32_t> indices;
  std::vector<float> values;

  bool empty() const { return indices.empty(); }
  friend bool operator==(const SparseComponents&, const SparseComponents&) = default;
};

struct NamedSparse {
  std::string name;
  SparseComponents components;
};

// What scores depend on besides the row itself. Those of several shards add up.
struct SparseStatistics {
  uint64_t documents = 0;             // rows with at least one term
  uint64_t total_length = 0;          // words of all of them; texts only
  std::vector<uint64_t> frequencies;  // rows that hold each term of the query, in its order

  void Add(const SparseStatistics& other) {
    documents += other.documents;
    total_length += other.total_length;
    if (frequencies.size() < other.frequencies.size()) frequencies.resize(other.frequencies.size());
    for (size_t i = 0; i < other.frequencies.size(); ++i) frequencies[i] += other.frequencies[i];
  }
};

}  // namespace alcove::vector_search
