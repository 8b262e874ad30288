#include "services/vector-search/query/similarity.h"

#include <cmath>

namespace alcove::vector_search {

double Nearness(Metric metric, absl::Span<const float> a, absl::Span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  switch (metric) {
    case Metric::kDot: return dot;
    case Metric::kL2: {
      double sum = 0;
      for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
      return -sum;
    }
    case Metric::kCosine: break;
  }
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0;
}

}  // namespace alcove::vector_search
