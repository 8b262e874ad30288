// Which blocks of a large collection to name in a private search: those of the clusters near the query, and of decoys.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "alcove/private_search/v1/private_search.pb.h"

namespace alcove::ctl {

// 32 random bytes that a person keeps for good: clients that share them make the same groups (docs/API.md, "Clusters";
// the same in JavaScript and Python: examples/private-search).
using GroupSecret = std::array<uint8_t, 32>;

struct DecoyOptions {
  size_t group = 4;       // clusters that look alike to the server: the query's own and group - 1 decoys
  size_t neighbours = 8;  // clusters scored for each of them, itself included; at most 32
};

// Sorted block numbers; empty for all of them, when the collection has no clusters or too few for a group.
//
// Clusters are cut into groups once and for all, in the order of HMAC-SHA-256(secret, centroid): a query whose nearest
// cluster is in a group names the whole group with the neighbours of every member. So the server learns the group and
// nothing that tells its members apart: every query near any of them names the same blocks, and repeating or varying a
// query leaves it the same choice of at least `group` clusters. Were decoys drawn anew each time, what is common to two
// searches would be the truth; were the neighbours the query's own, those of the true cluster alone would lie together.
//
// `unit` is the query of unit length. DATA_LOSS when the server's description of clusters does not add up.
absl::StatusOr<std::vector<uint32_t>> ChooseBlocks(
    const private_search::v1::GetCollectionParametersResponse& parameters, absl::Span<const float> unit,
    const DecoyOptions& options, const GroupSecret& secret);

}  // namespace alcove::ctl
