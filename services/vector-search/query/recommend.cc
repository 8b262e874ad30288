#include "services/vector-search/query/recommend.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "services/vector-search/query/similarity.h"

namespace alcove::vector_search {
namespace {

std::vector<double> MeanOf(Metric metric, const Examples& examples, size_t dimension) {
  std::vector<double> mean(dimension, 0);
  for (const std::vector<float>& example : examples) {
    double norm = 1;
    if (metric == Metric::kCosine) {
      double sum = 0;
      for (const float x : example) sum += double{x} * x;
      norm = std::sqrt(sum);
    }
    for (size_t i = 0; i < dimension; ++i) mean[i] += example[i] / norm / static_cast<double>(examples.size());
  }
  return mean;
}

double Nearest(Metric metric, const Examples& examples, absl::Span<const float> point) {
  double best = -std::numeric_limits<double>::infinity();
  for (const std::vector<float>& example : examples) best = std::max(best, Nearness(metric, example, point));
  return best;
}

}  // namespace

absl::StatusOr<std::vector<float>> AverageOf(Metric metric, const Examples& positive, const Examples& negative) {
  const size_t dimension = positive.front().size();
  const std::vector<double> good = MeanOf(metric, positive, dimension);
  std::vector<float> out(dimension);
  const std::vector<double> bad = negative.empty() ? good : MeanOf(metric, negative, dimension);
  double size = 0, scale = 0;
  for (size_t i = 0; i < dimension; ++i) {
    const double value = 2 * good[i] - bad[i];
    out[i] = static_cast<float>(value);
    size += value * value;
    scale += good[i] * good[i] + bad[i] * bad[i];
    if (!std::isfinite(out[i])) return absl::InvalidArgumentError("the examples' average is not finite");
  }
  if (metric == Metric::kCosine && size <= 1e-12 * scale) {
    return absl::InvalidArgumentError("the examples cancel out: their average has no direction");
  }
  return out;
}

std::optional<double> BestScore(Metric metric, const Examples& positive, const Examples& negative,
                                absl::Span<const float> point) {
  const double good = Nearest(metric, positive, point);
  if (!negative.empty() && Nearest(metric, negative, point) > good) return std::nullopt;
  return good;
}

}  // namespace alcove::vector_search
