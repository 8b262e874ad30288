// What a request must look like before anything is done about it. Every error is INVALID_ARGUMENT naming the field.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "services/vector-search/collection/point.h"
#include "services/vector-search/collection/schema.h"
#include "services/vector-search/coordinator/query.h"

namespace alcove::vector_search {

inline constexpr size_t kMaxUpsertPoints = 10'000;
inline constexpr size_t kMaxUpsertBytes = 64 << 20;
inline constexpr size_t kMaxDeleteIds = 10'000;
inline constexpr size_t kMaxGetIds = 1'000;
inline constexpr uint32_t kMaxPage = 1'000;
inline constexpr uint32_t kMaxLimit = 1'000;
inline constexpr uint32_t kMaxOffset = 10'000;
inline constexpr uint32_t kMaxSearchEf = 10'000;
inline constexpr size_t kMaxBatchSearches = 100;
inline constexpr size_t kMaxSelectorFields = 256;

// 1 to 256 bytes of UTF-8.
absl::Status ValidatePointId(absl::string_view field, absl::string_view id);
absl::Status ValidateIds(absl::string_view field, absl::Span<const std::string> ids, size_t least, size_t most);

// Dimension, finite components, and not zero under cosine.
absl::Status ValidateVector(absl::string_view field, const VectorField& config, absl::Span<const float> vector);

// The vector field of that name.
absl::StatusOr<const VectorField*> FindVectorField(const CollectionConfig& config, absl::string_view name);

// Words or components: numbers ascending, finite, 1 to kMaxQueryTerms.
absl::Status ValidateSparse(absl::string_view field, const SparseComponents& vector, size_t most);

// A whole batch: count, size, ids, vectors (at least one a point unless the collection searches texts, each once),
// payload types.
absl::Status ValidatePoints(const CollectionConfig& config, absl::Span<const StoredPoint> points);

// Changes of points: each vector as above, fields that exist, payload within its bounds and types.
absl::Status ValidateUpdates(const CollectionConfig& config, absl::Span<const PointChange> changes);

absl::Status ValidateSelector(const PayloadSelector& selector);

}  // namespace alcove::vector_search
