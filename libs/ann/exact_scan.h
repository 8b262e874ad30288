#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "libs/ann/index.h"
#include "libs/ann/node_store.h"
#include "libs/ann/row_table.h"

namespace alcove::ann {

// Scores every live row (every matching one, with a filter) on the stored vectors. The oracle of the approximate
// searches, and the faster way when few rows match. The caller holds an epoch pin. CANCELLED when the stop check says
// so.
absl::StatusOr<std::vector<Neighbor>> ExactScan(const NodeStore& store, const RowTable& rows,
                                                const PreparedQuery& query, const SearchParams& params);

// Scores the given rows, those present, in the order given.
std::vector<Neighbor> ScoreRows(const NodeStore& store, const RowTable& rows, const PreparedQuery& query,
                                absl::Span<const RowId> wanted);

}  // namespace alcove::ann
