// Points like some examples and unlike others.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "services/vector-search/collection/schema.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxExamples = 100;  // positive and negative together

enum class RecommendStrategy : uint8_t {
  kAverageVector = 1,  // nearest to AverageOf()
  kBestScore = 2,      // ranked by BestScore()
};

using Examples = std::vector<std::vector<float>>;

// mean(positive) + (mean(positive) - mean(negative)); without negative ones the mean of the positive. Under the cosine
// metric each example counts by its direction. `positive` is not empty, all of one dimension. INVALID_ARGUMENT when the
// examples cancel out under cosine, or when the result is not finite.
absl::StatusOr<std::vector<float>> AverageOf(Metric metric, const Examples& positive, const Examples& negative);

// Nearness to the nearest positive example; nullopt for a point nearer to a negative example than to any positive one.
std::optional<double> BestScore(Metric metric, const Examples& positive, const Examples& negative,
                                absl::Span<const float> point);

}  // namespace alcove::vector_search
