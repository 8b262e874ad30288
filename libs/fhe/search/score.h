// Encrypted scores: the inner product of the query with every row of a block.
#pragma once

#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/search/block.h"

namespace alcove::fhe {

// An expanded query, laid out for the scoring loop. Immutable, thread safe.
class ScoringQuery {
 public:
  // One ciphertext per dimension, from Expand(). The context must suit Block::Encode.
  ScoringQuery(const Context& context, absl::Span<const EvalCiphertext> expanded);
  size_t dimensions() const { return dimensions_; }
  const uint64_t* Tile(size_t tile) const { return words_.data() + tile * dimensions_ * 2 * kTile; }

 private:
  size_t dimensions_;
  Words words_;
};

// The ciphertext whose coefficient r is sum_d query_d * row_r[d], for each block, in order. Blocks must have the
// query's dimensions. Limit: the database is read once, 8 N dimensions bytes a block. `mac` is for tests and
// benchmarks.
std::vector<CoeffCiphertext> Score(const Context& context, const ScoringQuery& query,
                                   absl::Span<const Block* const> blocks, MacFn mac = BestMac());

// The same for several queries of equal dimensions at once, out[query][block]: the database streams by once for all of
// them, so each query beyond the first costs arithmetic only.
std::vector<std::vector<CoeffCiphertext>> ScoreBatch(const Context& context,
                                                     absl::Span<const ScoringQuery* const> queries,
                                                     absl::Span<const Block* const> blocks, MacFn mac = BestMac());

}  // namespace alcove::fhe
