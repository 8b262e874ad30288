#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/types/span.h"
#include "libs/ann/index.h"

namespace alcove::ann {

// Clustered vectors: what embeddings look like, in small.
inline std::vector<float> Clustered(size_t count, size_t dim, uint32_t seed, size_t clusters = 20) {
  std::mt19937 centres(99);
  std::normal_distribution<float> normal;
  std::vector<float> centre(clusters * dim);
  for (float& x : centre) x = normal(centres);
  std::mt19937 random(seed);
  std::vector<float> out(count * dim);
  for (size_t i = 0; i < count; ++i) {
    const size_t c = random() % clusters;
    for (size_t d = 0; d < dim; ++d) out[i * dim + d] = centre[c * dim + d] + 0.5f * normal(random);
  }
  return out;
}

inline std::vector<RowId> Sequence(size_t count, RowId first = 0) {
  std::vector<RowId> rows(count);
  for (size_t i = 0; i < count; ++i) rows[i] = first + static_cast<RowId>(i);
  return rows;
}

inline absl::Span<const float> Nth(const std::vector<float>& vectors, size_t i, size_t dim) {
  return absl::MakeConstSpan(vectors).subspan(i * dim, dim);
}

// Share of the oracle's rows that the index also found.
inline double Recall(const VectorIndex& index, const VectorIndex& oracle, const std::vector<float>& queries,
                     const SearchParams& params) {
  const size_t dim = index.dim();
  size_t found = 0, wanted = 0;
  for (size_t i = 0; i < queries.size() / dim; ++i) {
    const auto got = index.Search(Nth(queries, i, dim), params);
    const auto want = oracle.Search(Nth(queries, i, dim), params);
    if (!got.ok() || !want.ok()) return -1;
    std::unordered_set<RowId> rows;
    for (const Neighbor& n : *got) rows.insert(n.row);
    wanted += want->size();
    for (const Neighbor& n : *want) found += rows.count(n.row);
  }
  return wanted == 0 ? 1 : static_cast<double>(found) / static_cast<double>(wanted);
}

class StringSink final : public ByteSink {
 public:
  absl::Status Append(std::string_view bytes) override {
    data.append(bytes);
    return absl::OkStatus();
  }
  std::string data;
};

class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string_view data) : rest_(data) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    const size_t part = rest_.copy(out, size);
    rest_.remove_prefix(part);
    return part;
  }

 private:
  std::string_view rest_;
};

}  // namespace alcove::ann
