// From uniform 64-bit words to uniform residues: what ExpandUniform and the readers do to every word. Words are public
// values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace alcove::fhe::uniform {

// Constants for one modulus of `bits` significant bits: ratio = floor(2^64 / q), ratio52 = floor(2^(51 + bits) / q).
struct Divisor {
  uint64_t q;
  int bits;
  uint64_t ratio;
  uint64_t ratio52;
};

struct Kernels {
  // The largest of n words; n a multiple of 8.
  uint64_t (*largest)(const uint64_t* words, size_t n);
  // Every word modulo q, in place; returns the largest word there was. n a multiple of 8.
  uint64_t (*reduce)(uint64_t* words, size_t n, const Divisor& divisor);
};

extern const Kernels kScalar;
// For q of 15 to 50 bits.
extern const Kernels kAvx2;
// For q of 13 to 50 bits.
extern const Kernels kAvx512Ifma;

// The fastest for a modulus of that many bits on this CPU.
const Kernels& Best(int bits);

}  // namespace alcove::fhe::uniform
