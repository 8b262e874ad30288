// What a search must look like before anything is done about it. Every error is INVALID_ARGUMENT naming the field.
#pragma once

#include <absl/status/status.h>

#include "services/vector-search/collection/schema.h"
#include "services/vector-search/coordinator/query.h"

namespace alcove::vector_search {

// Also puts in what the call leaves out: limits, and the field of a sparse query when there is only one.
absl::Status PrepareSearch(const CollectionConfig& config, SearchCall& call);
absl::Status PrepareRecommend(const CollectionConfig& config, RecommendCall& call);

}  // namespace alcove::vector_search
