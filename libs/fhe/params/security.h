// The HomomorphicEncryption.org security table: how many bits the coefficient modulus may have in all, per degree, for
// a uniform ternary secret. The 128-bit classical column is a hard limit of this library; the others are for
// information.
#pragma once

#include <cstdint>

namespace alcove::fhe {

enum class SecurityLevel {
  kNone = 0,
  kClassical128,
  kClassical192,
  kClassical256,
  kQuantum128,
};

// Largest allowed sum of prime bits for degree 1024 … 32768; 0 for other degrees. kNone has no bound and gives 0 too.
int MaxModulusBits(SecurityLevel level, uint64_t degree);

// The strongest classical level (128, 192 or 256) that `total_bits` reaches at `degree`, or kNone.
SecurityLevel StrongestClassical(uint64_t degree, int total_bits);

}  // namespace alcove::fhe
