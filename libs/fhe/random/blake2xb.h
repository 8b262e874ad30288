// BLAKE2Xb ("BLAKE2X", 2016) producing 4096 bytes, keyed with 64 bytes, over an 8-byte message, a counter: SEAL's
// stream. Every counter has a root hash of two compressions, the first of which only sees the key, and 64 output blocks
// that depend on the root alone; so the key is compressed once for all counters, and roots and output blocks are
// computed side by side in vector lanes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe::blake2xb {

inline constexpr size_t kBytes = 4096;

// The root's chaining words after the padded key, its first block.
void CompressKey(const uint8_t* key64, uint64_t* state8);

// kBytes each for the counters counter … counter + count - 1. The kernels give the same bytes.
using BlocksFn = void (*)(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out);
void BlocksScalar(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out);
void BlocksAvx2(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out);
void BlocksAvx512(const uint64_t* keyed_state8, uint64_t counter, size_t count, uint8_t* out);
// The fastest of the kernels this CPU runs.
BlocksFn Best();

}  // namespace alcove::fhe::blake2xb
