#include "libs/fhe/search/score.h"

#include <algorithm>

namespace alcove::fhe {

ScoringQuery::ScoringQuery(const Context& context, absl::Span<const EvalCiphertext> expanded)
    : dimensions_(expanded.size()), words_(context.degree() * 2 * expanded.size()) {
  for (size_t tile = 0; tile < context.degree() / kTile; ++tile) {
    uint64_t* to = words_.data() + tile * dimensions_ * 2 * kTile;
    for (size_t d = 0; d < dimensions_; ++d, to += 2 * kTile) {
      std::copy_n(expanded[d].c0.Row(0) + tile * kTile, kTile, to);
      std::copy_n(expanded[d].c1.Row(0) + tile * kTile, kTile, to + kTile);
    }
  }
}

std::vector<CoeffCiphertext> Score(const Context& context, const ScoringQuery& query,
                                   absl::Span<const Block* const> blocks, MacFn mac) {
  return std::move(ScoreBatch(context, {&query}, blocks, mac)[0]);
}

std::vector<std::vector<CoeffCiphertext>> ScoreBatch(const Context& context,
                                                     absl::Span<const ScoringQuery* const> queries,
                                                     absl::Span<const Block* const> blocks, MacFn mac) {
  const size_t n = context.degree();
  const Modulus& q = context.modulus(0);
  std::vector<std::vector<EvalCiphertext>> sums(
      queries.size(), std::vector<EvalCiphertext>(blocks.size(), EvalCiphertext{{1, n}, {1, n}}));
  alignas(64) uint64_t low[2 * kTile], high[2 * kTile];
  // Tiles outside, blocks inside: the queries' tiles stay in cache for all blocks, and a block's tile for all queries.
  for (size_t tile = 0; tile < n / kTile; ++tile) {
    for (size_t b = 0; b < blocks.size(); ++b) {
      for (size_t k = 0; k < queries.size(); ++k) {
        mac(blocks[b]->Tile(tile), queries[k]->Tile(tile), queries[k]->dimensions(), low, high);
        EvalCiphertext& sum = sums[k][b];
        for (size_t i = 0; i < kTile; ++i) {
          const auto reduce = [&](size_t at) {
            return q.Reduce128((static_cast<unsigned __int128>(high[at]) << 64) | low[at]);
          };
          sum.c0.Row(0)[tile * kTile + i] = reduce(i);
          sum.c1.Row(0)[tile * kTile + i] = reduce(kTile + i);
        }
      }
    }
  }
  std::vector<std::vector<CoeffCiphertext>> out(queries.size());
  for (size_t k = 0; k < queries.size(); ++k) {
    for (EvalCiphertext& sum : sums[k]) out[k].push_back(ToCoeff(context, std::move(sum)));
  }
  return out;
}

}  // namespace alcove::fhe
