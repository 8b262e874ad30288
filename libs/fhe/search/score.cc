#include "libs/fhe/search/score.h"

namespace alcove::fhe {

ScoringQuery::ScoringQuery(const Context& context, absl::Span<const EvalCiphertext> expanded)
    : dimensions_(expanded.size()), words_(context.degree() * 2 * expanded.size()) {
  for (size_t d = 0; d < dimensions_; ++d) {
    for (size_t i = 0; i < context.degree(); ++i) {
      uint64_t* to = words_.data() + ((i / kTile) * dimensions_ + d) * 2 * kTile + i % kTile;
      to[0] = expanded[d].c0.Row(0)[i];
      to[kTile] = expanded[d].c1.Row(0)[i];
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
