// Encrypted scores: the inner product of the query with every row of a block.
#pragma once

#include <vector>

#include <absl/status/status.h>
#include <absl/types/span.h>

#include "libs/fhe/bfv/evaluator.h"
#include "libs/fhe/search/block.h"
#include "libs/fhe/search/expand.h"

namespace alcove::fhe {

// An expanded query, laid out for the scoring loop. Thread safe once it is whole.
class ScoringQuery {
 public:
  // One ciphertext per polynomial of the layout, from Expand(). The context must suit Block::Encode.
  ScoringQuery(const Context& context, absl::Span<const EvalCiphertext> expanded);
  // Room for a query of this layout, whose parts are then expanded into it, each once, on any threads.
  ScoringQuery(const Context& context, const Layout& layout);
  // Expands a query that travels in one ciphertext, straight into place.
  ScoringQuery(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys, const Layout& layout);
  // Expands part `part` < layout.parts().size() into its place. Needs the keys of layout.levels() doublings.
  void ExpandPart(const Context& context, size_t part, const CoeffCiphertext& query, const ExpansionKeys& keys,
                  const Layout& layout);
  size_t polynomials() const { return polynomials_; }
  size_t dimensions() const { return polynomials_; }
  size_t MemoryBytes() const { return words_.size() * sizeof(uint64_t); }
  const uint64_t* Tile(size_t tile) const { return words_.data() + tile * polynomials_ * 2 * kTile; }

 private:
  void Place(size_t degree, size_t index, const uint64_t* c0, const uint64_t* c1);
  size_t polynomials_;
  LargeWords words_;
};

// One pass of several queries over several blocks, in pieces that may run on different threads: call Run for disjoint
// ranges that cover [0, tiles()), concurrently if wanted, then Finish for each result, concurrently if wanted. To
// stream replies, make one job per group of blocks. Everything given to the constructor must outlive the job; blocks
// must have the queries' number of polynomials.
//
// Limits: the database streams by once for all queries, 8 N bytes a polynomial and block; arithmetic is N/8 * 4
// multiply-adds a polynomial, block and query.
class ScoringJob {
 public:
  ScoringJob(const Context& context, absl::Span<const ScoringQuery* const> queries,
             absl::Span<const Block* const> blocks, const MacKernels& mac = BestMac());
  size_t tiles() const { return context_->degree() / kTile; }
  void Run(size_t begin, size_t end);
  // The ciphertext whose coefficient layout.Position(r) is 2^levels * sum_d query_d row_r[d] when the query's
  // coefficients were the plain numbers, and the sum itself when they were divided by 2^levels (client/query.h). Once a
  // pair.
  CoeffCiphertext Finish(size_t query, size_t block);

 private:
  const Context* context_;
  std::vector<const ScoringQuery*> queries_;
  std::vector<const Block*> blocks_;
  const MacKernels* mac_;
  MacModulus modulus_;
  uint64_t* Sum(size_t query, size_t block) {
    return sums_.data() + (query * blocks_.size() + block) * 2 * context_->degree();
  }
  // [query][block][polynomial][N]. On large pages, because every tile touches a line of each.
  LargeWords sums_;
};

// All of one query's replies, in the order of the blocks.
std::vector<CoeffCiphertext> Score(const Context& context, const ScoringQuery& query,
                                   absl::Span<const Block* const> blocks, const MacKernels& mac = BestMac());

// out[query][block].
std::vector<std::vector<CoeffCiphertext>> ScoreBatch(const Context& context,
                                                     absl::Span<const ScoringQuery* const> queries,
                                                     absl::Span<const Block* const> blocks,
                                                     const MacKernels& mac = BestMac());

// Rounds the low bits of a reply away: bits0 of every coefficient of the first polynomial, bits1 of the second. Any
// SEAL client decrypts it. It compresses the better for it: to 0.62 of its size with zlib under primes of 50 and 59
// bits, to 0.58 under two of 50 (interop/run). TrimBits (search/noise.h) says how many bits are free.
void TrimReply(const Context& context, int bits0, int bits1, CoeffCiphertext& reply);

}  // namespace alcove::fhe
