#include "libs/common/trace.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <sys/random.h>

#include "libs/common/hash.h"

namespace alcove {
namespace {

constexpr size_t kMaxStateBytes = 512;
constexpr size_t kMaxStateMembers = 32;

// Lower-case digits only, as the specification demands.
template <size_t N>
bool ReadHex(absl::string_view text, std::array<uint8_t, N>& out) {
  if (text.size() != 2 * N) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(c) && !(c >= 'a' && c <= 'f')) return false;
  }
  const std::optional<std::string> bytes = FromHex(text);
  std::memcpy(out.data(), bytes->data(), N);
  return true;
}

template <size_t N>
bool AllZero(const std::array<uint8_t, N>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

template <size_t N>
void FillRandom(std::array<uint8_t, N>& out) {
  static_assert(N % 8 == 0);
  do {
    for (size_t i = 0; i < N; i += 8) {
      const uint64_t bits = RandomBits();
      std::memcpy(out.data() + i, &bits, 8);
    }
  } while (AllZero(out));
}

bool IsKeyChar(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-' || c == '*' || c == '/';
}

// simple-key, or tenant@system with at most 241 and 14 characters.
bool IsStateKey(absl::string_view key) {
  const size_t at = key.find('@');
  const absl::string_view tenant = key.substr(0, at);
  if (tenant.empty() || tenant.size() > (at == absl::string_view::npos ? 256u : 241u)) return false;
  if (!absl::ascii_islower(tenant[0]) && !absl::ascii_isdigit(tenant[0])) return false;
  if (at == absl::string_view::npos && !absl::ascii_islower(tenant[0])) return false;
  if (!std::all_of(tenant.begin(), tenant.end(), IsKeyChar)) return false;
  if (at == absl::string_view::npos) return true;
  const absl::string_view system = key.substr(at + 1);
  return !system.empty() && system.size() <= 14 && absl::ascii_islower(system[0]) &&
         std::all_of(system.begin(), system.end(), IsKeyChar);
}

bool IsStateValue(absl::string_view value) {
  return !value.empty() && value.size() <= 256 && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

uint64_t KernelSeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != static_cast<ssize_t>(sizeof(seed))) {
    seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
           reinterpret_cast<uintptr_t>(&seed);
  }
  return seed;
}

}  // namespace

bool TraceContext::valid() const { return !AllZero(trace_id) && !AllZero(span_id); }
std::string TraceContext::trace_id_hex() const { return ToHex(absl::MakeConstSpan(trace_id)); }
std::string TraceContext::span_id_hex() const { return ToHex(absl::MakeConstSpan(span_id)); }

std::optional<TraceContext> ParseTraceparent(absl::string_view header) {
  header = absl::StripAsciiWhitespace(header);
  // version(2) - trace id(32) - span id(16) - flags(2)
  constexpr size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  std::array<uint8_t, 1> version{};
  std::array<uint8_t, 1> flags{};
  TraceContext trace;
  if (!ReadHex(header.substr(0, 2), version) || version[0] == 0xff) return std::nullopt;
  if (version[0] == 0 ? header.size() != kLength : (header.size() > kLength && header[kLength] != '-')) {
    return std::nullopt;
  }
  if (!ReadHex(header.substr(3, 32), trace.trace_id) || !ReadHex(header.substr(36, 16), trace.span_id) ||
      !ReadHex(header.substr(53, 2), flags) || !trace.valid()) {
    return std::nullopt;
  }
  trace.flags = flags[0] & TraceContext::kSampled;
  return trace;
}

std::string FormatTraceparent(const TraceContext& trace) {
  if (!trace.valid()) return "";
  return absl::StrCat("00-", trace.trace_id_hex(), "-", trace.span_id_hex(), trace.sampled() ? "-01" : "-00");
}

std::string SanitizeTracestate(absl::string_view header) {
  // A client may send anything; beyond this no well-formed value can come.
  if (header.size() > 64 * kMaxStateBytes) return "";
  std::string out;
  std::vector<absl::string_view> keys;
  bool full = false;
  for (absl::string_view member : absl::StrSplit(header, ',')) {
    member = absl::StripAsciiWhitespace(member);
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    if (equals == absl::string_view::npos) return "";
    const absl::string_view key = member.substr(0, equals);
    if (!IsStateKey(key) || !IsStateValue(member.substr(equals + 1))) return "";
    if (full || keys.size() == kMaxStateMembers) continue;
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) return "";
    if (out.size() + member.size() + 1 > kMaxStateBytes) {
      full = true;
      continue;
    }
    absl::StrAppend(&out, out.empty() ? "" : ",", member);
    keys.push_back(key);
  }
  return out;
}

TraceContext NewTrace(bool sampled) {
  TraceContext trace;
  FillRandom(trace.trace_id);
  FillRandom(trace.span_id);
  trace.flags = sampled ? TraceContext::kSampled : 0;
  return trace;
}

TraceContext ChildSpan(const TraceContext& parent) {
  if (!parent.valid()) return NewTrace();
  TraceContext child = parent;
  FillRandom(child.span_id);
  return child;
}

std::string NewRequestId() {
  std::array<uint8_t, 16> bytes;
  FillRandom(bytes);
  return ToHex(absl::MakeConstSpan(bytes));
}

uint64_t RandomBits() {
  // SplitMix64 (Steele, Lea, Flood 2014) from a kernel seed, reseeded now and then so that one output does not give
  // away all that follow.
  thread_local uint64_t state = KernelSeed();
  thread_local uint32_t uses = 0;
  if (++uses == 4096) {
    uses = 0;
    state ^= KernelSeed();
  }
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace alcove
