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
  // Lloyd's iteration ("Least squares quantization in PCM", 1982) on a sample of 64 rows a cluster, begun from rows
  // spread evenly over the collection; the same rows in the same order give the same clusters. 1 <= clusters <= rows;
  // row(i) gives `dimension` numbers. Cost: 8 passes over the sample, each clusters * dimension products a row.
  static std::shared_ptr<const Clusters> Train(size_t clusters, size_t rows, uint32_t dimension,
                                               absl::FunctionRef<absl::Span<const int8_t>(size_t)> row, TaskPool& pool);

  size_t size() const { return norms_.size(); }
  // In the units of rows.
  absl::Span<const float> centroid(size_t cluster) const {
    return absl::MakeConstSpan(centroids_).subspan(cluster * dimension_, dimension_);
  }
  // The cluster whose centroid is nearest by Euclidean distance, the first of several.
  size_t Nearest(absl::Span<const int8_t> row) const;
  // The `count` clusters nearest to the centroid of `cluster`, itself first; fewer when there are fewer.
  std::vector<uint32_t> Neighbours(size_t cluster, size_t count) const;

 private:
  Clusters(uint32_t dimension, std::vector<float> centroids);
  size_t Nearest(const float* vector) const;

  uint32_t dimension_;
  std::vector<float> centroids_;  // [clusters, dimension]
  std::vector<float> norms_;      // half the squared length of each
};

}  // namespace alcove::fhe_proxy
