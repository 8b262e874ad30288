// BLAKE2Xb ("BLAKE2X", 2016) producing 4096 bytes, keyed with 64 bytes, over an 8-byte message: the root hash and the
// 64 independent output blocks, with kernels that compute several blocks at once.
#pragma once

#include <cstdint>

namespace alcove::fhe::blake2xb {

// The 64-byte root of (key, counter).
void Root(const uint8_t* key64, uint64_t counter, uint64_t* root8);

// Expands a root to 4096 bytes. Each kernel gives the same bytes; the wide ones compute 4 or 8 blocks per instruction.
void ExpandScalar(const uint64_t* root8, uint8_t* out);
void ExpandAvx2(const uint64_t* root8, uint8_t* out);
void ExpandAvx512(const uint64_t* root8, uint8_t* out);

// The fastest of the kernels this CPU runs.
using ExpandFn = void (*)(const uint64_t*, uint8_t*);
ExpandFn Best();

}  // namespace alcove::fhe::blake2xb
