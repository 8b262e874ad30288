// The inner loop of scoring: for one tile of transform positions, the sum over the expanded ciphertexts of database
// word times query word, for both polynomials of the query. Plain data and function pointers, as in poly/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// Transform positions in a tile: one cache line of database per term, and 49 kB of query for 384 terms, which stays in
// the second-level cache while the database streams by once.
inline constexpr size_t kTile = 8;
// Blocks scored side by side, so that every word of a query that is loaded meets four of the database.
inline constexpr size_t kMacBlocks = 4;
// Words must be below 2^50 and the terms of a sum at most this: sums then fit the accumulators of every kernel.
inline constexpr size_t kMaxMacTerms = 2048;
inline constexpr size_t kMaxMacDimensions = kMaxMacTerms;
// Accumulators of one block and query: low and high words of the first polynomial's sums, then of the second's. A sum
// is low + 2^52 high.
inline constexpr size_t kMacWords = 4 * kTile;

// What turns sums into residues: 2^52 and 2^104 modulo q with their 52-bit Shoup quotients, and floor(2^52 / q).
struct MacModulus {
  uint64_t q;
  uint64_t r52, r52_quotient;
  uint64_t r104, r104_quotient;
  uint64_t barrett;
};

// What will be wanted after the present terms: `terms` lines from each of the addresses on.
struct MacAhead {
  const uint64_t* database[kMacBlocks] = {};
  size_t blocks = 0;
  size_t terms = 0;
};

struct MacKernels {
  // Adds database[b][d * kTile + i] * query[(d * 2 + p) * kTile + i] over d < terms to the sums at acc[b], for `blocks`
  // (1 … kMacBlocks) blocks side by side, and fetches what `ahead` names into the second-level cache meanwhile. Cost on
  // AVX-512 IFMA: four multiply-adds for eight positions, a block and a term.
  void (*accumulate)(const uint64_t* const* database, size_t blocks, const uint64_t* query, size_t terms,
                     uint64_t* const* acc, const MacAhead& ahead);
  // out0[i], out1[i]: the residues of the sums of both polynomials. Aligned lines, which may be written past the
  // caches: a store fence orders them before others may read.
  void (*reduce)(const uint64_t* acc, const MacModulus& modulus, uint64_t* out0, uint64_t* out1);
};

extern const MacKernels kMacScalar;
extern const MacKernels kMacAvx2;
extern const MacKernels kMacAvx512;
extern const MacKernels kMacAvx512Ifma;
// The integer-FMA loop with its two instructions spelled out in portable code.
extern const MacKernels kMacEmulatedIfma;

// The fastest this CPU runs.
const MacKernels& BestMac();

// The residue step without vectors, shared by the kernels that have none of their own.
void MacReduceScalar(const uint64_t* acc, const MacModulus& modulus, uint64_t* out0, uint64_t* out1);

}  // namespace alcove::fhe
