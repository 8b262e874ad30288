// SHAKE256 (FIPS 202) over seed || counter for eight counters side by side, one per vector lane. A plain function only:
// an instruction-set file includes it.
#pragma once

#include <cstdint>

namespace alcove::fhe {

// Blocks counter … counter + 7 of 4096 bytes each to out; the seed is 64 bytes. Needs AVX-512 F.
void Shake256EightBlocksAvx512(const uint8_t* seed, uint64_t counter, uint8_t* out);

}  // namespace alcove::fhe
