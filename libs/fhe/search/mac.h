// The inner loop of scoring: for one tile of transform positions, the sum over the dimensions of database word times
// query word, for both polynomials of the query. Plain data and function pointers, as in poly/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// Transform positions in a tile: 128 bytes of database per dimension, and 98 kB of query for 384 dimensions, which
// stays in the second-level cache while the database streams by once.
inline constexpr size_t kTile = 16;
// Words must be below 2^50 and dimensions at most this: sums then fit the accumulators of every kernel.
inline constexpr size_t kMaxMacDimensions = 2048;

// database[d * kTile + i], query[(d * 2 + p) * kTile + i]; the 128-bit sum for polynomial p and position i goes to
// low[p * kTile + i], high[p * kTile + i]. 64-byte aligned.
using MacFn = void (*)(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low,
                       uint64_t* high);

void MacScalar(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high);
void MacAvx2(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high);
void MacAvx512(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high);
void MacAvx512Ifma(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high);

// The integer-FMA loop with its two instructions spelled out in portable code.
void MacEmulatedIfma(const uint64_t* database, const uint64_t* query, size_t dimensions, uint64_t* low, uint64_t* high);

// The fastest this CPU runs.
MacFn BestMac();

}  // namespace alcove::fhe
