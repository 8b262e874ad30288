// The error sampler's arithmetic, portable, with AVX2 and with AVX-512 VPOPCNTDQ. Plain functions only: an
// instruction-set file includes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe {

// Bytes of randomness a sample takes, and what a buffer needs beyond them to be read by whole vectors.
inline constexpr size_t kBinomialBytes = 6;
inline constexpr size_t kBinomialSlack = 16;

// Number of ones among the low 21 bits of six bytes minus those among the next 21, for count samples (a multiple of 8).
void CentredBinomialScalar(const uint8_t* bytes, int8_t* out, size_t count);
// count a multiple of 32.
void CentredBinomialAvx2(const uint8_t* bytes, int8_t* out, size_t count);
void CentredBinomialAvx512(const uint8_t* bytes, int8_t* out, size_t count);
// Whether this CPU runs the third.
bool HasVectorPopcount();

}  // namespace alcove::fhe
