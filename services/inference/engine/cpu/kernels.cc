#include "services/inference/engine/cpu/kernels.h"

#include <algorithm>

#include "libs/common/cpu_features.h"
#include "services/inference/engine/cpu/bf16_kernels.h"

namespace alcove::inference {

size_t AttentionScratchFloats(const AttentionShape& shape) {
  constexpr size_t kMostRows = 8;
  const auto round_up = [](size_t value) { return (value + 15) / 16 * 16; };
  const size_t padded = round_up(shape.tokens);
  return shape.head_dim * padded + shape.tokens * round_up(shape.head_dim) + kMostRows * padded;
}

KernelList SupportedKernels() {
  KernelList list{};
  const auto add = [&list](const CpuKernels& kernels) { list.entries[list.count++] = &kernels; };
#if defined(__x86_64__)
  if (GetCpuFeatures().avx512()) add(Avx512Kernels());
  if (GetCpuFeatures().avx2_fma()) add(Avx2Kernels());
#endif
  add(PortableKernels());
  return list;
}

Bf16KernelList SupportedBf16Kernels() {
  Bf16KernelList list{};
#if defined(__x86_64__)
  const CpuFeatures& cpu = GetCpuFeatures();
  if (!cpu.avx512() || !cpu.avx512bf16) return list;
  if (cpu.amx_tile && cpu.amx_bf16 && MayUseTiles()) list.entries[list.count++] = &AmxKernels();
  list.entries[list.count++] = &Avx512Bf16Kernels();
#endif
  return list;
}

}  // namespace alcove::inference
