// Several rankings made one.
#pragma once

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "services/vector-search/query/ranked.h"

namespace alcove::vector_search {

enum class FusionMethod : uint8_t {
  // Reciprocal rank fusion: sum of weight / (k + rank), rank from 1. Source: G. Cormack, C. Clarke, S. Buettcher,
  // SIGIR 2009.
  kRrf = 1,
  // Sum of weight * score, each ranking's scores scaled to 0 (its last) … 1 (its first); a ranking of equal scores
  // counts as 1. What a ranking does not hold adds nothing.
  kWeighted = 2,
  // The largest of the scores as they are.
  kMax = 3,
};

inline constexpr uint32_t kDefaultRrfK = 60;

struct Leg {
  Ranking ranking;
  double weight = 1;
};

// Deterministic: the result depends on the legs' order only through rounding.
Ranking Fuse(absl::Span<const Leg> legs, FusionMethod method, uint32_t rrf_k = kDefaultRrfK);

}  // namespace alcove::vector_search
