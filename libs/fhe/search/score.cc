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
  const size_t n = context.degree();
  const Modulus& q = context.modulus(0);
  std::vector<EvalCiphertext> sums(blocks.size(), EvalCiphertext{{1, n}, {1, n}});
  alignas(64) uint64_t low[2 * kTile], high[2 * kTile];
  // Tiles outside, blocks inside: the query's tile stays in cache for all blocks.
  for (size_t tile = 0; tile < n / kTile; ++tile) {
    for (size_t b = 0; b < blocks.size(); ++b) {
      mac(blocks[b]->Tile(tile), query.Tile(tile), query.dimensions(), low, high);
      for (size_t i = 0; i < kTile; ++i) {
        const auto reduce = [&](size_t at) {
          return q.Reduce128((static_cast<unsigned __int128>(high[at]) << 64) | low[at]);
        };
        sums[b].c0.Row(0)[tile * kTile + i] = reduce(i);
        sums[b].c1.Row(0)[tile * kTile + i] = reduce(kTile + i);
      }
    }
  }
  std::vector<CoeffCiphertext> out;
  out.reserve(blocks.size());
  for (EvalCiphertext& sum : sums) out.push_back(ToCoeff(context, std::move(sum)));
  return out;
}

}  // namespace alcove::fhe
