// Oblivious expansion (Angel, Chen, Laine, Setty: "PIR with compressed queries and amortized query processing", 2018,
// section 3.3): from one encryption of sum_d m_d X^d to an encryption of the constant 2^levels m_d for every d.
#pragma once

#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include "libs/fhe/bfv/evaluator.h"

namespace alcove::fhe {

// Number of doublings that yield `count` ciphertexts: the smallest l with 2^l >= count.
int ExpansionLevels(size_t count);

// The Galois element of doubling j: N / 2^j + 1.
uint32_t ExpansionElement(size_t degree, int j);

// The keys of the doublings, prepared for computation. Immutable, thread safe; ~400 kB per doubling at N = 4096.
class ExpansionKeys {
 public:
  // The context must have one data prime and a special prime (kPrimeCountOutOfRange otherwise). Needs keys for the
  // elements of doublings 0 … levels-1 (kMissingKey otherwise). 0 <= levels <= log2 N.
  static absl::StatusOr<ExpansionKeys> Prepare(const Context& context, const GaloisKeys& keys, int levels);

  int levels() const { return static_cast<int>(levels_.size()); }
  size_t MemoryBytes() const;

  // One doubling: its automorphism sigma, the key under the inverse of sigma (so that sigma is applied once, to the
  // result, instead of to every digit), and X^(-2^j). Rows of transform values alternate with rows of quotients: data
  // prime, then special prime.
  struct Level {
    Automorphism automorphism;
    EvalPoly key0, key1, shift;
  };
  const Level& level(int j) const { return levels_[static_cast<size_t>(j)]; }

 private:
  std::vector<Level> levels_;
};

// The first `count` ciphertexts, in transform form. Cost: 2^levels - 1 key switches of four transforms each, and three
// transforms more for every two results. Needs count >= 1 and ExpansionLevels(count) <= keys.levels().
// One query at a time; different queries may be expanded on different threads.
std::vector<EvalCiphertext> Expand(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys,
                                   size_t count);

// The same, each result given to `sink` as it is ready (index, c0, c1: N words each, valid during the call), in no
// particular order of indices.
void ExpandTo(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys, size_t count,
              absl::FunctionRef<void(size_t, const uint64_t*, const uint64_t*)> sink);

}  // namespace alcove::fhe
