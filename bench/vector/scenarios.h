// What an index must stand beside plain searches: filters, searches during inserts, replacing half of its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "libs/ann/index.h"

namespace alcove::bench {

double ThreadSeconds();  // CPU time of this thread

// Share of the true neighbours found, result by result.
double RecallOf(const std::vector<std::vector<ann::Neighbor>>& found,
                const std::vector<std::vector<ann::Neighbor>>& truth);

// For the rows that a pseudo-random filter of the given selectivity lets through: the fastest settings of a filtered
// search, of pre-filtering (a scan of the matching rows) and of post-filtering (a wider search, then the filter), each
// at a recall of `target` or more; 0 where none reaches it. Pre- and post-filtering use the index too, so that all
// three are equally optimised. One line of JSON.
std::string RunFiltered(const ann::VectorIndex& index, absl::Span<const float> queries, size_t k, double selectivity,
                        double target);

// Searches one by one on this thread, alone and then while another thread inserts `rows`: both rates per CPU second of
// this thread. One line of JSON.
std::string RunMixed(ann::VectorIndex& index, absl::Span<const float> queries, const ann::SearchParams& params,
                     absl::Span<const ann::RowId> rows, absl::Span<const float> vectors);

// Builds an index of half of the rows, replaces half of those by others one at a time, and compares its recall with
// that of an index built from the outcome. One line of JSON.
std::string RunChurn(const ann::HnswOptions& options, absl::Span<const float> vectors, absl::Span<const float> queries,
                     const ann::SearchParams& params);

}  // namespace alcove::bench
