#include "libs/common/cpu_features.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "libs/common/fs.h"
#include "libs/common/memory.h"
#include "libs/common/task_pool.h"
#include "libs/common/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace alcove {
namespace {

#if defined(__x86_64__)
struct Leaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf Cpuid(uint32_t leaf, uint32_t subleaf) {
  Leaf out;
  if (static_cast<uint32_t>(__get_cpuid_max(leaf & 0x80000000u, nullptr)) < leaf) return out;
  __cpuid_count(leaf, subleaf, out.eax, out.ebx, out.ecx, out.edx);
  return out;
}

// Which register states the operating system saves (XCR0).
uint64_t EnabledStates() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool Bit(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

CpuFeatures AskProcessor() {
  CpuFeatures f;
  const Leaf one = Cpuid(1, 0);
  const Leaf seven = Cpuid(7, 0);
  const Leaf seven_one = seven.eax >= 1 ? Cpuid(7, 1) : Leaf{};
  f.popcnt = Bit(one.ecx, 23);
  if (!Bit(one.ecx, 27)) return f;  // no XSAVE: no wide registers either
  const uint64_t states = EnabledStates();
  const bool ymm = (states & 0x6) == 0x6;
  const bool zmm = (states & 0xe6) == 0xe6;
  const bool tiles = (states & 0x60000) == 0x60000;
  f.avx2 = ymm && Bit(one.ecx, 28) && Bit(seven.ebx, 5);
  f.fma = ymm && Bit(one.ecx, 12);
  f.f16c = ymm && Bit(one.ecx, 29);
  f.avx512f = zmm && Bit(seven.ebx, 16);
  f.avx512dq = f.avx512f && Bit(seven.ebx, 17);
  f.avx512ifma = f.avx512f && Bit(seven.ebx, 21);
  f.avx512bw = f.avx512f && Bit(seven.ebx, 30);
  f.avx512vl = f.avx512f && Bit(seven.ebx, 31);
  f.avx512vbmi = f.avx512f && Bit(seven.ecx, 1);
  f.avx512vnni = f.avx512f && Bit(seven.ecx, 11);
  f.avx512vpopcntdq = f.avx512f && Bit(seven.ecx, 14);
  f.avx512fp16 = f.avx512f && Bit(seven.edx, 23);
  f.avx512bf16 = f.avx512f && Bit(seven_one.eax, 5);
  f.amx_bf16 = tiles && Bit(seven.edx, 22);
  f.amx_tile = tiles && Bit(seven.edx, 24);
  f.amx_int8 = tiles && Bit(seven.edx, 25);
  return f;
}
#else
CpuFeatures AskProcessor() { return {}; }
#endif

std::string ModelName() {
  const absl::StatusOr<std::string> info = ReadFile("/proc/cpuinfo", 8 << 20);
  if (!info.ok()) return "unknown processor";
  for (const absl::string_view line : absl::StrSplit(*info, '\n')) {
    if (!absl::StartsWith(line, "model name")) continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.size() == 2) return std::string(absl::StripAsciiWhitespace(parts[1]));
  }
  return "unknown processor";
}

}  // namespace

CpuFeatures DetectCpuFeatures(const std::string& level) {
  const CpuFeatures found = AskProcessor();
  if (level == "scalar") return {};
  if (level == "avx2") {
    CpuFeatures lowered;
    lowered.popcnt = found.popcnt;
    lowered.avx2 = found.avx2;
    lowered.fma = found.fma;
    lowered.f16c = found.f16c;
    return lowered;
  }
  return found;
}

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = [] {
    const char* level = std::getenv("ALCOVE_CPU");
    return DetectCpuFeatures(level == nullptr ? "" : level);
  }();
  return features;
}

bool MayUseTiles() {
#if defined(__x86_64__)
  static const bool allowed = [] {
    constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, Linux 5.16
    constexpr int kTileData = 18;               // the state's number in XCR0
    return DetectCpuFeatures("").amx_tile && ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return allowed;
#else
  return false;
#endif
}

std::string CpuFeatures::Name() const {
  if (!avx512()) return avx2_fma() ? "avx2" : "scalar";
  std::string name = "avx512";
  if (avx512vnni) name += "+vnni";
  if (avx512bf16) name += "+bf16";
  if (avx512fp16) name += "+fp16";
  if (avx512ifma) name += "+ifma";
  if (amx_int8 || amx_bf16) name += "+amx";
  return name;
}

std::string HardwareDescription() {
  const int cpus = AvailableCpus();
  return absl::StrCat(ModelName(), ", ", cpus, cpus == 1 ? " core, " : " cores, ", GetCpuFeatures().Name(), ", ",
                      FormatBytes(MemoryLimitBytes()));
}

}  // namespace alcove
