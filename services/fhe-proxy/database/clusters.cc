#include "services/fhe-proxy/database/clusters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "libs/simd/kernels.h"

namespace alcove::fhe_proxy {
namespace {

constexpr size_t kSampledRows = 256;               // a cluster
constexpr size_t kLeastSample = 32768;             // rows, if there are so many
constexpr size_t kMostSampled = size_t{64} << 20;  // numbers
constexpr int kPasses = 8;
constexpr int kFitPasses = 100;
constexpr size_t kMostCloseness = size_t{32} << 20;  // numbers kept while rows are moved
constexpr double kMostLeads = 2;                     // by which a cluster is made nearer or farther, in mean leads

float Dot(const float* a, const float* b, size_t n) { return simd::Best().dot_f32(a, b, n); }

size_t BlocksOf(size_t rows, size_t per_block) { return std::max<size_t>(1, (rows + per_block - 1) / per_block); }

// How many blocks each cluster should fill, which has `rows` of them when nothing is moved: one at least, and more
// where the rows are.
std::vector<size_t> ShareBlocks(const std::vector<size_t>& rows, size_t blocks) {
  std::vector<size_t> out(rows.size(), 1);
  for (size_t left = blocks > rows.size() ? blocks - rows.size() : 0; left > 0; --left) {
    size_t fullest = 0;
    for (size_t c = 1; c < rows.size(); ++c) {
      if (rows[c] * out[fullest] > rows[fullest] * out[c]) fullest = c;
    }
    ++out[fullest];
  }
  return out;
}

}  // namespace

Clusters::Clusters(uint32_t dimension, std::vector<float> centroids, std::vector<float> weights)
    : dimension_(dimension), centroids_(std::move(centroids)), weights_(std::move(weights)), offsets_(weights_.size()) {
  for (size_t c = 0; c < offsets_.size(); ++c) {
    const float* v = centroids_.data() + c * dimension_;
    offsets_[c] = (weights_[c] - Dot(v, v, dimension_)) / 2;
  }
}

std::shared_ptr<const Clusters> Clusters::From(uint32_t dimension, std::vector<float> centroids,
                                               std::vector<float> weights) {
  return std::shared_ptr<const Clusters>(new Clusters(dimension, std::move(centroids), std::move(weights)));
}

float Clusters::Closeness(const float* row, size_t cluster) const {
  return Dot(row, centroids_.data() + cluster * dimension_, dimension_) + offsets_[cluster];
}

size_t Clusters::Home(const float* row) const {
  size_t best = 0;
  float largest = 0;
  for (size_t c = 0; c < size(); ++c) {
    const float value = Closeness(row, c);
    if (c != 0 && !(value > largest)) continue;
    best = c;
    largest = value;
  }
  return best;
}

size_t Clusters::Home(absl::Span<const int8_t> row) const {
  const std::vector<float> vector(row.begin(), row.end());
  return Home(vector.data());
}

std::vector<uint32_t> Clusters::Neighbours(size_t cluster, size_t count) const {
  std::vector<std::pair<float, uint32_t>> order;
  for (size_t c = 0; c < size(); ++c) {
    // With the weights: the clusters that rows near this centroid stand in.
    const float near = Closeness(centroid(cluster).data(), c);
    order.emplace_back(c == cluster ? -INFINITY : -near, static_cast<uint32_t>(c));
  }
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end());
  std::vector<uint32_t> out;
  for (size_t i = 0; i < count; ++i) out.push_back(order[i].second);
  return out;
}

std::shared_ptr<const Clusters> Clusters::Train(size_t clusters, size_t per_block, size_t rows, uint32_t dimension,
                                                absl::FunctionRef<absl::Span<const int8_t>(size_t)> row,
                                                TaskPool& pool) {
  const size_t most = std::max(clusters, kMostSampled / dimension);
  const size_t sampled = std::min({rows, most, std::max(clusters * kSampledRows, kLeastSample)});
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
    const Clusters now(dimension, centroids, std::vector<float>(clusters));
    pool.ParallelForRange(sampled, 256, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) nearest[i] = now.Home(sample.data() + i * dimension);
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
  return Clusters(dimension, std::move(centroids), std::vector<float>(clusters)).Refit(per_block, rows, row, pool);
}

std::shared_ptr<const Clusters> Clusters::Refit(size_t per_block, size_t rows,
                                                absl::FunctionRef<absl::Span<const int8_t>(size_t)> row,
                                                TaskPool& pool) const {
  // How near each row is to each cluster, once; moving rows then costs an addition a row, cluster and pass.
  const size_t sampled = std::min(rows, std::max(size() * kSampledRows, kMostCloseness / size()));
  const Clusters unweighted(dimension_, centroids_, std::vector<float>(size()));
  std::vector<float> closeness(sampled * size());
  pool.ParallelForRange(sampled, 256, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const absl::Span<const int8_t> numbers = row(i * rows / sampled);
      const std::vector<float> vector(numbers.begin(), numbers.end());
      for (size_t c = 0; c < size(); ++c) closeness[i * size() + c] = unweighted.Closeness(vector.data(), c);
    }
  });
  std::vector<float> offsets(size()), best;
  std::vector<size_t> counts(size());
  // Rows of each cluster under the offsets; the mean lead of a row's cluster over its next.
  const auto count = [&] {
    std::fill(counts.begin(), counts.end(), 0);
    double leads = 0;
    for (size_t i = 0; i < sampled; ++i) {
      const float* near = &closeness[i * size()];
      size_t home = 0;
      float first = near[0] + offsets[0], second = -INFINITY;
      for (size_t c = 1; c < size(); ++c) {
        const float value = near[c] + offsets[c];
        if (value > first) {
          second = first;
          first = value;
          home = c;
        } else {
          second = std::max(second, value);
        }
      }
      ++counts[home];
      if (size() > 1) leads += static_cast<double>(first - second);
    }
    for (size_t& n : counts) n = (n * rows + sampled - 1) / sampled;
    return leads / static_cast<double>(sampled);
  };
  const double gap = count();
  const size_t blocks = std::max(
      size(), static_cast<size_t>(std::ceil(static_cast<double>(rows) / (kFill * static_cast<double>(per_block)))));
  const std::vector<size_t> shares = ShareBlocks(counts, blocks);
  const double rows_per_block = static_cast<double>(rows) / static_cast<double>(blocks);

  // Too full a cluster is made farther away, too empty a one nearer, each by steps of its own that grow while they go
  // one way and shrink when they turn.
  std::vector<double> steps(size(), gap / 2);
  std::vector<int> turns(size());
  size_t least = SIZE_MAX;
  for (int pass = 0; pass < kFitPasses; ++pass) {
    size_t taken = 0;
    bool fits = true;
    for (size_t c = 0; c < size(); ++c) {
      taken += BlocksOf(counts[c], per_block);
      fits = fits && counts[c] <= shares[c] * per_block;
    }
    if (taken < least) {
      least = taken;
      best = offsets;
    }
    if (fits) break;
    for (size_t c = 0; c < size(); ++c) {
      const double excess = static_cast<double>(counts[c]) / (static_cast<double>(shares[c]) * rows_per_block) - 1;
      const int turn = excess > 0 ? -1 : excess < 0 ? 1 : 0;
      if (turn * turns[c] > 0) steps[c] = std::min(steps[c] * 1.2, gap * 4);
      if (turn * turns[c] < 0) steps[c] /= 2;
      turns[c] = turn;
      // Rows stay where they belong: no cluster comes much nearer than its next.
      const double moved = static_cast<double>(offsets[c]) + turn * steps[c] * std::min(1.0, 4 * std::abs(excess));
      offsets[c] = static_cast<float>(std::clamp(moved, -kMostLeads * gap, kMostLeads * gap));
    }
    count();
  }
  for (float& weight : best) weight *= 2;
  return From(dimension_, centroids_, std::move(best));
}

}  // namespace alcove::fhe_proxy
