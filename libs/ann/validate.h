#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "libs/ann/index.h"

namespace alcove::ann {

// Longer vectors would overflow f32 in sums of squares.
inline constexpr float kMaxSquaredNorm = 1e36f;

// INVALID_ARGUMENT naming the row for a wrong length, a value that is not finite, a vector that is too long, or a
// zero vector under kCosine.
absl::Status CheckVector(RowId row, absl::Span<const float> vector, size_t dim, Metric metric);
absl::Status CheckQuery(absl::Span<const float> query, size_t dim, Metric metric);
absl::Status CheckParams(const SearchParams& params);
// Every vector of a batch, and that no row exists or repeats.
absl::Status CheckBatch(const VectorIndex& index, absl::Span<const RowId> rows, absl::Span<const float> vectors);
absl::Status CheckDimAndMetric(size_t dim, Metric metric);

}  // namespace alcove::ann
