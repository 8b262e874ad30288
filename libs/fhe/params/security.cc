#include "libs/fhe/params/security.h"

#include <bit>
#include <initializer_list>

namespace alcove::fhe {
namespace {

// Rows: degree 1024, 2048, 4096, 8192, 16384, 32768.
constexpr int kClassical128[] = {27, 54, 109, 218, 438, 881};
constexpr int kClassical192[] = {19, 37, 75, 152, 305, 611};
constexpr int kClassical256[] = {14, 29, 58, 118, 237, 476};
constexpr int kQuantum128[] = {25, 51, 101, 202, 411, 827};

}  // namespace

int MaxModulusBits(SecurityLevel level, uint64_t degree) {
  if (!std::has_single_bit(degree) || degree < 1024 || degree > 32768) return 0;
  const int row = std::bit_width(degree) - 11;
  switch (level) {
    case SecurityLevel::kNone: return 0;
    case SecurityLevel::kClassical128: return kClassical128[row];
    case SecurityLevel::kClassical192: return kClassical192[row];
    case SecurityLevel::kClassical256: return kClassical256[row];
    case SecurityLevel::kQuantum128: return kQuantum128[row];
  }
  return 0;
}

SecurityLevel StrongestClassical(uint64_t degree, int total_bits) {
  for (SecurityLevel level :
       {SecurityLevel::kClassical256, SecurityLevel::kClassical192, SecurityLevel::kClassical128}) {
    if (total_bits <= MaxModulusBits(level, degree)) return level;
  }
  return SecurityLevel::kNone;
}

}  // namespace alcove::fhe
