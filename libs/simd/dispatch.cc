#include "libs/common/cpu_features.h"
#include "libs/simd/kernels_internal.h"

namespace alcove::simd {
namespace {

struct Tables {
  Kernels table[5];
  bool usable[5] = {true, false, false, false, false};

  Tables() {
    const CpuFeatures& cpu = GetCpuFeatures();
    for (Kernels& t : table) FillScalar(t);
#if defined(__x86_64__)
    usable[1] = cpu.avx2_fma();
    usable[2] = usable[1] && cpu.avx512();
    usable[3] = usable[2] && cpu.avx512vnni;
    usable[4] = usable[3] && (cpu.avx512bf16 || cpu.avx512vpopcntdq);
    // The compiler uses a set's instructions for filling its table too: only where the processor has them.
    for (int i = 1; i < 5; ++i) {
      if (!usable[i]) break;
      FillAvx2(table[i]);
      if (i >= 2) FillAvx512(table[i]);
      if (i >= 3) FillAvx512Vnni(table[i]);
    }
    if (usable[4] && cpu.avx512bf16) FillAvx512Bf16(table[4]);
    if (usable[4] && cpu.avx512vpopcntdq) FillAvx512Popcnt(table[4]);
#endif
  }
};

const Tables& All() {
  static const Tables tables;
  return tables;
}

}  // namespace

const Kernels* For(InstructionSet set) {
  const auto i = static_cast<size_t>(set);
  return All().usable[i] ? &All().table[i] : nullptr;
}

const Kernels& Best() {
  static const Kernels& best = [] {
    const Kernels* found = nullptr;
    for (InstructionSet set : kInstructionSets) {
      if (const Kernels* table = For(set)) found = table;
    }
    return *found;
  }();
  return best;
}

}  // namespace alcove::simd
