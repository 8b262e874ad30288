#include "libs/fhe/poly/isa.h"

#include <algorithm>
#include <cstdlib>

namespace alcove::fhe {
namespace {

Isa Detect() {
  __builtin_cpu_init();
  Isa best = Isa::kScalar;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::kAvx2;
  if (best == Isa::kAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    best = Isa::kAvx512;
  }
  if (best == Isa::kAvx512 && __builtin_cpu_supports("avx512ifma")) best = Isa::kAvx512Ifma;
  if (const char* wish = std::getenv("ALCOVE_FHE_ISA")) {
    for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Ifma}) {
      if (IsaName(isa) == wish) best = std::min(best, isa);
    }
  }
  return best;
}

}  // namespace

Isa BestIsa() {
  static const Isa best = Detect();
  return best;
}

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar: return "scalar";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Ifma: return "avx512ifma";
  }
  return "unknown";
}

}  // namespace alcove::fhe
