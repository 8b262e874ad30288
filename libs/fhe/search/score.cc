#include "libs/fhe/search/score.h"

#include <algorithm>
#include <new>

#include "libs/fhe/search/stream_tile.h"

namespace alcove::fhe {
namespace {

// Terms handled before going on to the next query: those of four blocks, 8 kB, stay in the first-level cache for all
// queries while the four chunks after them are fetched into the second-level cache.
constexpr size_t kChunk = 32;

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
  // Whole lines, each the only one of its page for long: written past the caches, they need not be read first.
  uint64_t* to = words_.data() + index * 2 * kTile;
  for (size_t tile = 0; tile < degree / kTile; ++tile, to += polynomials_ * 2 * kTile) {
    StreamTile(c0 + tile * kTile, to);
    StreamTile(c1 + tile * kTile, to + kTile);
  }
  FinishStreaming();
}

ScoringJob::ScoringJob(const Context& context, absl::Span<const ScoringQuery* const> queries,
                       absl::Span<const Block* const> blocks, const MacKernels& mac)
    : context_(&context),
      queries_(queries.begin(), queries.end()),
      blocks_(blocks.begin(), blocks.end()),
      mac_(&mac),
      modulus_(MakeModulus(context.modulus(0))),
      sums_(queries_.size() * blocks_.size() * 2 * context.degree()) {
  if (sums_.size() > 0 && sums_.data() == nullptr) throw std::bad_alloc();
}

void ScoringJob::Run(size_t begin, size_t end) {
  // Sums of the blocks side by side for every query: [query][block][kMacWords].
  Words acc(queries_.size() * kMacBlocks * kMacWords);
  // Tiles outside, blocks inside: the queries' tiles stay in cache for all blocks, and a chunk of blocks for all
  // queries. What comes next is fetched a share at a time while each query meets the present chunk.
  struct Place {
    size_t tile, block, first;
  };
  const auto terms_of = [&](const Place& at) { return blocks_[at.block]->layout().polynomials(); };
  const auto together = [&](const Place& at) { return std::min(kMacBlocks, blocks_.size() - at.block); };
  const auto next = [&](Place at) {
    at.first += kChunk;
    if (at.first < terms_of(at)) return at;
    at.first = 0;
    at.block += kMacBlocks;
    if (at.block < blocks_.size()) return at;
    return Place{at.tile + 1, 0, 0};
  };
  const size_t share = (kChunk + queries_.size() - 1) / queries_.size();
  for (Place at{begin, 0, 0}; at.tile < end && !blocks_.empty() && !queries_.empty(); at = next(at)) {
    const size_t count = together(at);
    const size_t now = std::min(kChunk, terms_of(at) - at.first);
    if (at.first == 0) std::fill(acc.begin(), acc.end(), 0);
    const uint64_t* database[kMacBlocks];
    for (size_t i = 0; i < count; ++i) database[i] = blocks_[at.block + i]->Tile(at.tile) + at.first * kTile;
    const Place then = next(at);
    const size_t fetch = then.tile < end ? std::min(kChunk, terms_of(then) - then.first) : 0;
    MacAhead ahead;
    ahead.blocks = fetch > 0 ? together(then) : 0;
    for (size_t k = 0; k < queries_.size(); ++k) {
      const size_t done = std::min(fetch, k * share);
      ahead.terms = std::min(fetch - done, share);
      for (size_t i = 0; i < ahead.blocks; ++i) {
        ahead.database[i] = blocks_[then.block + i]->Tile(then.tile) + (then.first + done) * kTile;
      }
      uint64_t* sums[kMacBlocks];
      for (size_t i = 0; i < count; ++i) sums[i] = acc.data() + (k * kMacBlocks + i) * kMacWords;
      mac_->accumulate(database, count, queries_[k]->Tile(at.tile) + at.first * 2 * kTile, now, sums, ahead);
    }
    if (at.first + now < terms_of(at)) continue;
    for (size_t k = 0; k < queries_.size(); ++k) {
      for (size_t i = 0; i < count; ++i) {
        uint64_t* sum = Sum(k, at.block + i) + at.tile * kTile;
        mac_->reduce(acc.data() + (k * kMacBlocks + i) * kMacWords, modulus_, sum, sum + context_->degree());
      }
    }
  }
  FinishStreaming();
}

CoeffCiphertext ScoringJob::Finish(size_t query, size_t block) {
  const size_t n = context_->degree();
  const uint64_t* sum = Sum(query, block);
  CoeffCiphertext out{{1, n}, {1, n}};
  for (CoeffPoly* to : {&out.c0, &out.c1}) {
    std::copy_n(sum, n, to->Row(0));
    context_->ntt(0).Inverse(to->Row(0));
    sum += n;
  }
  return out;
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
