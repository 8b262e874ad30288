// Which instruction sets the arithmetic kernels may use on this machine.
#pragma once

#include <absl/strings/string_view.h>

namespace alcove::fhe {

// In rising order of speed; each includes those before it.
enum class Isa { kScalar = 0, kAvx2 = 1, kAvx512 = 2 /* F, DQ, BW, VL */, kAvx512Ifma = 3 };

// The best this CPU and operating system run, from cpuid once. The environment variable ALCOVE_FHE_ISA (scalar, avx2,
// avx512, avx512ifma) lowers it, never raises it.
Isa BestIsa();

absl::string_view IsaName(Isa isa);

}  // namespace alcove::fhe
