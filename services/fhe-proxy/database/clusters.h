// Which rows of a large collection stand together: k-means clusters of its vectors, so that a client may have a part of
// the collection scored instead of all of it. Centroids are told to every client that asks; they say no more of the
// rows than scores do.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/types/span.h>

#include "libs/common/task_pool.h"

namespace alcove::fhe_proxy {

// Immutable, thread safe.
class Clusters {
 public:
  static constexpr double kFill = 0.9;  // of the rows of a block, what Refit aims at

  // Lloyd's iteration ("Least squares quantization in PCM", 1982) on a sample of 256 rows a cluster, at least 32,768
  // and at most 256 MB, begun from rows spread evenly over the collection, then Refit; the same rows in the same order
  // give the same clusters. 1 <= clusters <= rows; row(i) gives `dimension` numbers. Cost: 8 passes over the sample,
  // each clusters * dimension products a row, and Refit's.
  static std::shared_ptr<const Clusters> Train(size_t clusters, size_t per_block, size_t rows, uint32_t dimension,
                                               absl::FunctionRef<absl::Span<const int8_t>(size_t)> row, TaskPool& pool);
  // As Write wrote it: `centroids` [clusters, dimension], and a weight a cluster, all finite.
  static std::shared_ptr<const Clusters> From(uint32_t dimension, std::vector<float> centroids,
                                              std::vector<float> weights);

  // The same centroids with weights under which each cluster's rows fill whole blocks of `per_block` rows to about
  // kFill, where that can be had by moving rows to clusters nearly as near (a power diagram of equal cells,
  // Aurenhammer, Hoffmann and Aronov, "Minkowski-type theorems and least-squares clustering", 1998). Blocks half empty
  // are what every search pays for. Cost: clusters * dimension products a row, of a sample if there are very many, and
  // 128 MB meanwhile.
  std::shared_ptr<const Clusters> Refit(size_t per_block, size_t rows,
                                        absl::FunctionRef<absl::Span<const int8_t>(size_t)> row, TaskPool& pool) const;

  size_t size() const { return weights_.size(); }
  uint32_t dimension() const { return dimension_; }
  // In the units of rows.
  absl::Span<const float> centroid(size_t cluster) const {
    return absl::MakeConstSpan(centroids_).subspan(cluster * dimension_, dimension_);
  }
  float weight(size_t cluster) const { return weights_[cluster]; }
  // The cluster a row stands in: the one whose centroid has the least squared Euclidean distance after its weight is
  // taken off, the first of several.
  size_t Home(absl::Span<const int8_t> row) const;
  // The `count` clusters nearest to the centroid of `cluster` after their weights are taken off, itself first; fewer
  // when there are fewer.
  std::vector<uint32_t> Neighbours(size_t cluster, size_t count) const;

 private:
  Clusters(uint32_t dimension, std::vector<float> centroids, std::vector<float> weights);
  // x c - |c|^2 / 2, which is largest for the nearest centroid, plus half the weight.
  float Closeness(const float* row, size_t cluster) const;
  size_t Home(const float* row) const;

  uint32_t dimension_;
  std::vector<float> centroids_;  // [clusters, dimension]
  std::vector<float> weights_;
  std::vector<float> offsets_;  // what Closeness adds to the product
};

}  // namespace alcove::fhe_proxy
