#include "libs/fhe/random/uniform.h"

#include <algorithm>

#include "libs/fhe/poly/isa.h"

namespace alcove::fhe::uniform {
namespace {

uint64_t Largest(const uint64_t* words, size_t n) {
  uint64_t out = 0;
  for (size_t i = 0; i < n; ++i) out = std::max(out, words[i]);
  return out;
}

uint64_t Reduce(uint64_t* words, size_t n, const Divisor& d) {
  const uint64_t largest = Largest(words, n);
  for (size_t i = 0; i < n; ++i) {
    // The estimate is at most one too small.
    const uint64_t estimate = static_cast<uint64_t>((static_cast<unsigned __int128>(words[i]) * d.ratio) >> 64);
    const uint64_t r = words[i] - estimate * d.q;
    words[i] = r - (d.q & -static_cast<uint64_t>(r >= d.q));
  }
  return largest;
}

}  // namespace

const Kernels kScalar = {&Largest, &Reduce};

const Kernels& Best(int bits) {
  if (BestIsa() == Isa::kAvx512Ifma && bits >= 13 && bits <= 50) return kAvx512Ifma;
  return BestIsa() >= Isa::kAvx2 && bits >= 15 && bits <= 50 ? kAvx2 : kScalar;
}

}  // namespace alcove::fhe::uniform
