// The inner loop of scoring: for one tile of transform positions, the sum over the expanded ciphertexts of database
// word times query word, for both polynomials of the query. Plain data and function pointers, as in poly/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// Transform positions in a tile: 128 bytes of database per term, and 98 kB of query for 384 terms, which stays in the
// second-level cache while the database streams by once.
inline constexpr size_t kTile = 16;
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

struct MacKernels {
  // Adds database[b][d * kTile + i] * query[(d * 2 + p) * kTile + i] over d < terms to the sums at acc[b], for `blocks`
  // (1 or 2) blocks side by side. Cost on AVX-512 IFMA: four multiply-adds for eight positions, a block and a term; the
  // query is loaded once for both blocks.
  void (*accumulate)(const uint64_t* const* database, size_t blocks, const uint64_t* query, size_t terms,
                     uint64_t* const* acc);
  // out0[i], out1[i]: the residues of the sums of both polynomials.
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
