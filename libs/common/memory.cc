#include "libs/common/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libs/common/cgroup.h"
#include "libs/common/fs.h"

namespace alcove {
namespace memory_internal {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

bool UsesHugePages(size_t bytes, HugePages huge_pages) {
  return huge_pages == HugePages::kTransparent && bytes >= kHugePage;
}

size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

[[noreturn]] void OutOfMemory(size_t bytes) {
  std::fprintf(stderr, "out of memory: cannot allocate %zu bytes\n", bytes);
  std::abort();
}

}  // namespace

void* Allocate(size_t bytes, HugePages huge_pages) {
  if (bytes > std::numeric_limits<size_t>::max() / 2) OutOfMemory(bytes);
  if (!UsesHugePages(bytes, huge_pages)) {
    void* data = std::aligned_alloc(64, RoundUp(bytes, 64));
    if (data == nullptr) OutOfMemory(bytes);
    std::memset(data, 0, bytes);
    return data;
  }
  // Map one huge page more than needed and give back what lies before and after the aligned part.
  const size_t wanted = RoundUp(bytes, kHugePage);
  const size_t mapped = wanted + kHugePage;
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) OutOfMemory(bytes);
  auto* begin = static_cast<char*>(base);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + wanted, mapped - before - wanted);
  madvise(begin + before, wanted, MADV_HUGEPAGE);
  return begin + before;
}

void Free(void* data, size_t bytes, HugePages huge_pages) {
  if (UsesHugePages(bytes, huge_pages)) {
    munmap(data, RoundUp(bytes, kHugePage));
  } else {
    std::free(data);
  }
}

}  // namespace memory_internal

namespace {

// The first number of a small kernel file; false for "max" and when it cannot be read.
bool ReadNumber(const std::string& path, uint64_t& value) {
  const absl::StatusOr<std::string> text = ReadFile(path, 4096);
  return text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value);
}

// "MemAvailable:   123 kB" of /proc/meminfo and "inactive_file 123" of memory.stat, in the file's own unit.
uint64_t ReadKeyed(const std::string& path, absl::string_view key) {
  const absl::StatusOr<std::string> text = ReadFile(path, 1 << 20);
  if (!text.ok()) return 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t value = 0;
    if (words.size() >= 2 && words[0] == key && absl::SimpleAtoi(words[1], &value)) return value;
  }
  return 0;
}

struct MemoryCgroup {
  CgroupDirectory directory;  // its path is empty when no limit could be found
  uint64_t limit = std::numeric_limits<uint64_t>::max();
};

MemoryCgroup TightestCgroup() {
  MemoryCgroup tightest;
  for (const CgroupDirectory& directory : CgroupDirectories("memory")) {
    const char* file = directory.v2 ? "/memory.max" : "/memory.limit_in_bytes";
    uint64_t limit = 0;
    // Version 1 writes "no limit" as a number close to 2^63.
    if (ReadNumber(directory.path + file, limit) && limit < (uint64_t{1} << 62) && limit < tightest.limit) {
      tightest = {directory, limit};
    }
  }
  return tightest;
}

}  // namespace

void SecureZero(void* data, size_t bytes) { explicit_bzero(data, bytes); }

bool ConstantTimeEqual(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b) {
  if (a.size() != b.size()) return false;
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference = difference | (a[i] ^ b[i]);
  return difference == 0;
}

uint64_t ResidentBytes() {
  const absl::StatusOr<std::string> statm = ReadFile("/proc/self/statm", 4096);
  if (!statm.ok()) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(*statm, ' ');
  uint64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return 0;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t MemoryLimitBytes() {
  const uint64_t machine = ReadKeyed("/proc/meminfo", "MemTotal:") * 1024;
  return std::min(machine == 0 ? std::numeric_limits<uint64_t>::max() : machine, TightestCgroup().limit);
}

uint64_t MemoryAvailableBytes() {
  const uint64_t machine = ReadKeyed("/proc/meminfo", "MemAvailable:") * 1024;
  const MemoryCgroup cgroup = TightestCgroup();
  const auto& [path, v2] = cgroup.directory;
  uint64_t used = 0;
  if (path.empty() || !ReadNumber(path + (v2 ? "/memory.current" : "/memory.usage_in_bytes"), used)) return machine;
  const uint64_t droppable = ReadKeyed(path + "/memory.stat", v2 ? "inactive_file" : "total_inactive_file");
  used -= std::min(used, droppable);
  const uint64_t left = cgroup.limit > used ? cgroup.limit - used : 0;
  return std::min(machine, left);
}

}  // namespace alcove
