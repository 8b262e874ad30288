// A search query as plaintext coefficients, and scores back from a reply.
#pragma once

#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/context.h"
#include "libs/fhe/search/layout.h"
#include "libs/fhe/search/signs.h"

namespace alcove::fhe {

// One ciphertext, full expansion: coefficient d holds query[d] / 2^levels mod t, so that the expansion's doublings give
// query[d] back; levels is ExpansionLevels(query.size()). |query[d]| < t/2; t must be odd.
absl::StatusOr<std::vector<uint64_t>> EncodeQuery(const Context& context, absl::Span<const int32_t> query);

// The same for a collection's layout: the coefficients of each ciphertext of the query, in the order of layout.parts().
// query.size() must be layout.dimensions(). INVALID_ARGUMENT, too, when a number exceeds t/2.
absl::StatusOr<std::vector<std::vector<uint64_t>>> EncodeQuery(const Context& context, const Layout& layout,
                                                               absl::Span<const int32_t> query);

// The scores of the first `rows` rows of a block, in (-t/2, t/2], from the N decrypted coefficients of its reply;
// `signs` are the block's.
std::vector<int64_t> DecodeScores(const Context& context, absl::Span<const uint64_t> coefficients, const Layout& layout,
                                  size_t rows, const SignPattern& signs = {});

// The first `rows` coefficients as signed numbers in (-t/2, t/2].
std::vector<int64_t> DecodeScores(const Context& context, absl::Span<const uint64_t> coefficients, size_t rows);

// Rounds scale * v; the numbers a query or a row is made of. |scale * v| must be within `limit` (OUT_OF_RANGE
// otherwise, also for values that are not finite).
absl::StatusOr<std::vector<int32_t>> Quantise(absl::Span<const float> v, double scale, int32_t limit);

}  // namespace alcove::fhe
