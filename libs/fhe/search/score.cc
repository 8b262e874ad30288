#include "libs/fhe/search/score.h"

#include <algorithm>
#include <new>

namespace alcove::fhe {
namespace {

// Terms handled before going on to the next query: two blocks of them stay in the first-level cache.
constexpr size_t kChunk = 64;

MacModulus MakeModulus(const Modulus& q) {
  MacModulus m;
  m.q = q.value();
  m.r52 = q.Reduce(uint64_t{1} << 52);
  m.r52_quotient = q.ShoupQuotient(m.r52, 52);
  m.r104 = q.Mul(m.r52, m.r52);
  m.r104_quotient = q.ShoupQuotient(m.r104, 52);
  m.barrett = (uint64_t{1} << 52) / q.value();
  return m;
}

}  // namespace

ScoringQuery::ScoringQuery(const Context& context, absl::Span<const EvalCiphertext> expanded)
    : polynomials_(expanded.size()), words_(context.degree() * 2 * expanded.size()) {
  if (words_.data() == nullptr) throw std::bad_alloc();
  for (size_t d = 0; d < polynomials_; ++d) Place(context.degree(), d, expanded[d].c0.Row(0), expanded[d].c1.Row(0));
}

ScoringQuery::ScoringQuery(const Context& context, const Layout& layout)
    : polynomials_(layout.polynomials()), words_(context.degree() * 2 * layout.polynomials()) {
  if (words_.data() == nullptr) throw std::bad_alloc();
}

ScoringQuery::ScoringQuery(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys,
                           const Layout& layout)
    : ScoringQuery(context, layout) {
  ExpandPart(context, 0, query, keys, layout);
}

void ScoringQuery::ExpandPart(const Context& context, size_t part, const CoeffCiphertext& query,
                              const ExpansionKeys& keys, const Layout& layout) {
  size_t first = 0;
  for (size_t p = 0; p < part; ++p) first += layout.parts()[p].polynomials;
  ExpandTo(
      context, query, keys, layout.parts()[part].polynomials,
      [&](size_t index, const uint64_t* c0, const uint64_t* c1) { Place(context.degree(), first + index, c0, c1); });
}

void ScoringQuery::Place(size_t degree, size_t index, const uint64_t* c0, const uint64_t* c1) {
  uint64_t* to = words_.data() + index * 2 * kTile;
  for (size_t tile = 0; tile < degree / kTile; ++tile, to += polynomials_ * 2 * kTile) {
    std::copy_n(c0 + tile * kTile, kTile, to);
    std::copy_n(c1 + tile * kTile, kTile, to + kTile);
  }
}

ScoringJob::ScoringJob(const Context& context, absl::Span<const ScoringQuery* const> queries,
                       absl::Span<const Block* const> blocks, const MacKernels& mac)
    : context_(&context),
      queries_(queries.begin(), queries.end()),
      blocks_(blocks.begin(), blocks.end()),
      mac_(&mac),
      modulus_(MakeModulus(context.modulus(0))) {
  sums_.reserve(queries_.size() * blocks_.size());
  for (size_t i = 0; i < queries_.size() * blocks_.size(); ++i) {
    sums_.push_back({{1, context.degree()}, {1, context.degree()}});
  }
}

void ScoringJob::Run(size_t begin, size_t end) {
  // Sums of two blocks for every query: [query][block][kMacWords].
  Words acc(queries_.size() * 2 * kMacWords);
  // Tiles outside, blocks inside: the queries' tiles stay in cache for all blocks, and a chunk of two blocks for all
  // queries. A single query takes a block's tile in one go, which is one long run of memory.
  const size_t chunk = queries_.size() == 1 ? kMaxMacTerms : kChunk;
  for (size_t tile = begin; tile < end; ++tile) {
    for (size_t b = 0; b < blocks_.size(); b += 2) {
      const size_t count = std::min<size_t>(2, blocks_.size() - b);
      const size_t terms = blocks_[b]->layout().polynomials();
      std::fill(acc.begin(), acc.end(), 0);
      for (size_t first = 0; first < terms; first += chunk) {
        const size_t now = std::min(chunk, terms - first);
        const uint64_t* database[2];
        for (size_t i = 0; i < count; ++i) database[i] = blocks_[b + i]->Tile(tile) + first * kTile;
        for (size_t k = 0; k < queries_.size(); ++k) {
          uint64_t* sums[2] = {acc.data() + k * 2 * kMacWords, acc.data() + (k * 2 + 1) * kMacWords};
          mac_->accumulate(database, count, queries_[k]->Tile(tile) + first * 2 * kTile, now, sums);
        }
      }
      for (size_t k = 0; k < queries_.size(); ++k) {
        for (size_t i = 0; i < count; ++i) {
          EvalCiphertext& sum = sums_[k * blocks_.size() + b + i];
          mac_->reduce(acc.data() + (k * 2 + i) * kMacWords, modulus_, sum.c0.Row(0) + tile * kTile,
                       sum.c1.Row(0) + tile * kTile);
        }
      }
    }
  }
}

CoeffCiphertext ScoringJob::Finish(size_t query, size_t block) {
  return ToCoeff(*context_, std::move(sums_[query * blocks_.size() + block]));
}

std::vector<CoeffCiphertext> Score(const Context& context, const ScoringQuery& query,
                                   absl::Span<const Block* const> blocks, const MacKernels& mac) {
  return std::move(ScoreBatch(context, {&query}, blocks, mac)[0]);
}

std::vector<std::vector<CoeffCiphertext>> ScoreBatch(const Context& context,
                                                     absl::Span<const ScoringQuery* const> queries,
                                                     absl::Span<const Block* const> blocks, const MacKernels& mac) {
  ScoringJob job(context, queries, blocks, mac);
  job.Run(0, job.tiles());
  std::vector<std::vector<CoeffCiphertext>> out(queries.size());
  for (size_t k = 0; k < queries.size(); ++k) {
    for (size_t b = 0; b < blocks.size(); ++b) out[k].push_back(job.Finish(k, b));
  }
  return out;
}

void TrimReply(const Context& context, int bits0, int bits1, CoeffCiphertext& reply) {
  for (size_t j = 0; j < context.data_rows(); ++j) {
    const uint64_t q = context.modulus(j).value();
    for (auto [poly, bits] : {std::pair(&reply.c0, bits0), std::pair(&reply.c1, bits1)}) {
      if (bits <= 0) continue;
      const uint64_t half = uint64_t{1} << (bits - 1);
      for (uint64_t* w = poly->Row(j); w != poly->Row(j) + context.degree(); ++w) {
        // To the nearest multiple of 2^bits, or the one below where that is not below q.
        uint64_t rounded = (*w + half) >> bits << bits;
        rounded -= (half << 1) & -static_cast<uint64_t>(rounded >= q);
        *w = rounded;
      }
    }
  }
}

}  // namespace alcove::fhe
