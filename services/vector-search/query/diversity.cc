#include "services/vector-search/query/diversity.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace alcove::vector_search {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// Beyond it exp(alpha) leaves the range of doubles, and the order is that of scores anyway.
constexpr double kLargestLambda = 0.995;
// What is left of a candidate's own kernel value when the chosen ones explain it.
constexpr double kExplained = 1e-10;

class Cosines {
 public:
  explicit Cosines(absl::Span<const Candidate> candidates) : candidates_(candidates), norms_(candidates.size()) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      double sum = 0;
      for (const float x : candidates[i].vector) sum += double{x} * x;
      norms_[i] = std::sqrt(sum);
    }
  }
  double operator()(size_t i, size_t j) const {
    if (i == j) return 1;
    if (norms_[i] == 0 || norms_[j] == 0) return 0;
    double dot = 0;
    const auto a = candidates_[i].vector, b = candidates_[j].vector;
    for (size_t k = 0; k < a.size(); ++k) dot += double{a[k]} * b[k];
    return dot / (norms_[i] * norms_[j]);
  }

 private:
  absl::Span<const Candidate> candidates_;
  std::vector<double> norms_;
};

std::vector<double> Relevance(absl::Span<const Candidate> candidates) {
  double low = std::numeric_limits<double>::infinity(), high = kNothing;
  for (const Candidate& c : candidates) {
    low = std::min(low, c.score);
    high = std::max(high, c.score);
  }
  std::vector<double> out;
  for (const Candidate& c : candidates) out.push_back(high > low ? (c.score - low) / (high - low) : 1);
  return out;
}

std::vector<size_t> Mmr(absl::Span<const Candidate> candidates, double lambda, size_t wanted) {
  const Cosines cosine(candidates);
  const std::vector<double> relevance = Relevance(candidates);
  std::vector<double> nearest(candidates.size(), 0);
  std::vector<bool> taken(candidates.size(), false);
  std::vector<size_t> chosen;
  while (chosen.size() < wanted) {
    size_t best = candidates.size();
    double best_value = kNothing;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const double value = lambda * relevance[i] - (1 - lambda) * nearest[i];
      if (!taken[i] && value > best_value) {
        best = i;
        best_value = value;
      }
    }
    taken[best] = true;
    chosen.push_back(best);
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (taken[i]) continue;
      const double similarity = cosine(i, best);
      nearest[i] = chosen.size() == 1 ? similarity : std::max(nearest[i], similarity);
    }
  }
  return chosen;
}

std::vector<size_t> Dpp(absl::Span<const Candidate> candidates, double lambda, size_t wanted) {
  const size_t n = candidates.size();
  const Cosines cosine(candidates);
  const std::vector<double> relevance = Relevance(candidates);
  const double alpha = lambda / (2 * (1 - lambda));
  std::vector<double> quality(n), left(n);  // left: d_i^2 of the paper
  for (size_t i = 0; i < n; ++i) {
    quality[i] = std::exp(alpha * relevance[i]);
    left[i] = quality[i] * quality[i];
  }
  std::vector<std::vector<double>> rows(n);  // c_i of the paper
  std::vector<bool> taken(n, false);
  std::vector<size_t> chosen;
  while (chosen.size() < wanted) {
    size_t best = n;
    double best_value = kNothing;
    for (size_t i = 0; i < n; ++i) {
      if (taken[i] || left[i] <= kExplained * quality[i] * quality[i]) continue;
      if (left[i] > best_value) {
        best = i;
        best_value = left[i];
      }
    }
    if (best == n) break;  // everything else is a combination of what is chosen
    taken[best] = true;
    chosen.push_back(best);
    const double root = std::sqrt(left[best]);
    for (size_t i = 0; i < n && chosen.size() < wanted; ++i) {
      if (taken[i]) continue;
      double inner = 0;
      for (size_t k = 0; k < rows[best].size(); ++k) inner += rows[best][k] * rows[i][k];
      const double kernel = quality[best] * quality[i] * (1 + cosine(i, best)) / 2;
      const double e = (kernel - inner) / root;
      rows[i].push_back(e);
      left[i] = std::max(0.0, left[i] - e * e);
    }
  }
  for (size_t i = 0; i < n && chosen.size() < wanted; ++i) {
    if (!taken[i]) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace

std::vector<size_t> Diversify(DiversityMethod method, absl::Span<const Candidate> candidates, double lambda,
                              size_t wanted) {
  wanted = std::min(wanted, candidates.size());
  if (lambda > kLargestLambda) {
    std::vector<size_t> order(candidates.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return candidates[a].score > candidates[b].score; });
    order.resize(wanted);
    return order;
  }
  return method == DiversityMethod::kMmr ? Mmr(candidates, lambda, wanted) : Dpp(candidates, lambda, wanted);
}

}  // namespace alcove::vector_search
