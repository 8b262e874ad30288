// Oblivious expansion (Angel, Chen, Laine, Setty: "PIR with compressed queries and amortized query processing", 2018,
// section 3.3): from one encryption of sum_d m_d X^d to an encryption of the constant 2^levels m_d for every d.
#pragma once

#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include "libs/fhe/bfv/evaluator.h"

namespace alcove::fhe {

// Number of doublings that yield `count` ciphertexts: the smallest l with 2^l >= count.
int ExpansionLevels(size_t count);

// The Galois element of doubling j: N / 2^j + 1.
uint32_t ExpansionElement(size_t degree, int j);

// The keys of the doublings, prepared for computation. Immutable, thread safe; ~260 kB per key at N = 4096 with two
// primes.
class ExpansionKeys {
 public:
  // Needs keys for the elements of doublings 0 … levels-1 (kMissingKey otherwise). levels <= log2 N.
  static absl::StatusOr<ExpansionKeys> Prepare(const Context& context, const GaloisKeys& keys, int levels);

  int levels() const { return static_cast<int>(keys_.size()); }
  const GaloisKey& key(int j) const { return keys_[static_cast<size_t>(j)]; }
  // Transform values of X^(-2^j) at key row `row`, and their quotients.
  const uint64_t* Shift(int j, size_t row) const { return shifts_[static_cast<size_t>(j)].Row(2 * row); }
  const uint64_t* ShiftQuotient(int j, size_t row) const { return shifts_[static_cast<size_t>(j)].Row(2 * row + 1); }
  size_t MemoryBytes() const;

 private:
  std::vector<GaloisKey> keys_;
  std::vector<EvalPoly> shifts_;
};

// The first `count` ciphertexts, in transform form. Cost: at most 2^levels - 1 key switches and six transforms each,
// plus one transform a result. Needs count >= 1 and ExpansionLevels(count) <= keys.levels().
std::vector<EvalCiphertext> Expand(const Context& context, const CoeffCiphertext& query, const ExpansionKeys& keys,
                                   size_t count);

}  // namespace alcove::fhe
