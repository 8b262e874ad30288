#include "services/fhe-proxy/database/clusters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "libs/simd/kernels.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kSampledRows = 64;  // a cluster
constexpr int kPasses = 8;

}  // namespace

Clusters::Clusters(uint32_t dimension, std::vector<float> centroids)
    : dimension_(dimension), centroids_(std::move(centroids)), norms_(centroids_.size() / dimension) {
  for (size_t c = 0; c < norms_.size(); ++c) {
    const float* v = centroids_.data() + c * dimension_;
    norms_[c] = simd::Best().dot_f32(v, v, dimension_) / 2;
  }
}

// |x - c|^2 = |x|^2 - 2 (x c - |c|^2 / 2): the nearest has the largest x c - |c|^2 / 2.
size_t Clusters::Nearest(const float* vector) const {
  size_t best = 0;
  float largest = 0;
  for (size_t c = 0; c < norms_.size(); ++c) {
    const float value = simd::Best().dot_f32(vector, centroids_.data() + c * dimension_, dimension_) - norms_[c];
    if (c != 0 && !(value > largest)) continue;
    best = c;
    largest = value;
  }
  return best;
}

size_t Clusters::Nearest(absl::Span<const int8_t> row) const {
  const std::vector<float> vector(row.begin(), row.end());
  return Nearest(vector.data());
}

std::vector<uint32_t> Clusters::Neighbours(size_t cluster, size_t count) const {
  std::vector<std::pair<float, uint32_t>> order;
  for (size_t c = 0; c < size(); ++c) {
    const float near = simd::Best().dot_f32(centroid(cluster).data(), centroid(c).data(), dimension_) - norms_[c];
    order.emplace_back(c == cluster ? -INFINITY : -near, static_cast<uint32_t>(c));
  }
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end());
  std::vector<uint32_t> out;
  for (size_t i = 0; i < count; ++i) out.push_back(order[i].second);
  return out;
}

std::shared_ptr<const Clusters> Clusters::Train(size_t clusters, size_t rows, uint32_t dimension,
                                                absl::FunctionRef<absl::Span<const int8_t>(size_t)> row,
                                                TaskPool& pool) {
  const size_t sampled = std::min(rows, clusters * kSampledRows);
  std::vector<float> sample;
  sample.reserve(sampled * dimension);
  for (size_t i = 0; i < sampled; ++i) {
    const absl::Span<const int8_t> numbers = row(i * rows / sampled);
    sample.insert(sample.end(), numbers.begin(), numbers.end());
  }
  std::vector<float> centroids;
  centroids.reserve(clusters * dimension);
  for (size_t c = 0; c < clusters; ++c) {
    const float* from = sample.data() + c * sampled / clusters * dimension;
    centroids.insert(centroids.end(), from, from + dimension);
  }
  std::vector<size_t> nearest(sampled);
  for (int pass = 0; pass < kPasses; ++pass) {
    const Clusters now(dimension, centroids);
    pool.ParallelForRange(sampled, 256, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) nearest[i] = now.Nearest(sample.data() + i * dimension);
    });
    std::vector<double> sums(clusters * dimension);
    std::vector<size_t> counts(clusters);
    for (size_t i = 0; i < sampled; ++i) {
      ++counts[nearest[i]];
      for (uint32_t d = 0; d < dimension; ++d) {
        sums[nearest[i] * dimension + d] += static_cast<double>(sample[i * dimension + d]);
      }
    }
    for (size_t c = 0; c < clusters; ++c) {
      if (counts[c] == 0) continue;  // stays where it is
      for (uint32_t d = 0; d < dimension; ++d) {
        centroids[c * dimension + d] = static_cast<float>(sums[c * dimension + d] / static_cast<double>(counts[c]));
      }
    }
  }
  return std::shared_ptr<const Clusters>(new Clusters(dimension, std::move(centroids)));
}

}  // namespace alcove::fhe_proxy
