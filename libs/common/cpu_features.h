// What the processor can do, asked once, for run-time dispatch.
//
// The environment variable ALCOVE_CPU lowers what is reported, for tests and for comparing implementations: "scalar"
// reports nothing, "avx2" only AVX2, FMA, F16C and POPCNT, "avx512" everything found (and is ignored by a processor
// without it). It can never report what the processor lacks.
#pragma once

#include <string>

namespace alcove {

struct CpuFeatures {
  bool popcnt = false;
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512dq = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avx512fp16 = false;
  bool avx512ifma = false;
  bool avx512vbmi = false;
  bool avx512vpopcntdq = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;

  // F, DQ, BW and VL together: what the avx512 code paths of this project assume.
  bool avx512() const { return avx512f && avx512dq && avx512bw && avx512vl; }
  // AVX2 with FMA and F16C: what the avx2 code paths assume.
  bool avx2_fma() const { return avx2 && fma && f16c; }
  // "avx512+vnni+bf16", "avx2", "scalar": for logs and benchmark tables.
  std::string Name() const;
};

// The processor's features after ALCOVE_CPU; read once, safe to call anywhere.
const CpuFeatures& GetCpuFeatures();
// What the processor has, limited to `level` ("" for no limit); an unknown level counts as no limit.
CpuFeatures DetectCpuFeatures(const std::string& level);

// Asks the operating system, once for the process, to keep the tile registers of AMX; false where it does not, and then
// tile instructions must not be used. Linux saves their 8 KiB only for those who asked.
bool MayUseTiles();

// "Intel(R) Xeon(R) …, 2 cores, avx512+vnni, 7.6 GiB": the line benchmarks print.
std::string HardwareDescription();

}  // namespace alcove
