// Exact nearness of two vectors, as the metrics of libs/ann define it.
#pragma once

#include <absl/types/span.h>

#include "services/vector-search/collection/schema.h"

namespace alcove::vector_search {

// Both of the same dimension. Summed in double precision. A zero vector has cosine 0 to everything.
double Nearness(Metric metric, absl::Span<const float> a, absl::Span<const float> b);

}  // namespace alcove::vector_search
