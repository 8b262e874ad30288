// The error sampler's arithmetic, portable and with AVX-512 VPOPCNTDQ. Plain functions only: an instruction-set file
// includes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// Number of ones among the low 21 bits of a word minus those among the next 21, for count words (a multiple of 8).
void CentredBinomialScalar(const uint64_t* words, int8_t* out, size_t count);
void CentredBinomialAvx512(const uint64_t* words, int8_t* out, size_t count);
// Whether this CPU runs the second.
bool HasVectorPopcount();

}  // namespace alcove::fhe
