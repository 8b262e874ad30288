#include "services/gateway/rest/short_decimal.h"

#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <cstring>

namespace alcove::gateway {

#if LDBL_MANT_DIG == 64 && defined(__x86_64__)

namespace {

constexpr int64_t kMaxDigits = 19;  // with the zeros in front: below 2^64

constexpr long double kPowersOfTen[kMaxDigits + 1] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                                      1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                                      1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L};
constexpr uint64_t kShortPowersOfTen[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

bool IsDigit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// Of eight bytes less '0', the first in the lowest: how many digits come first.
int CountDigits(uint64_t eight) {
  constexpr uint64_t kTop = 0x8080808080808080;
  const uint64_t others = (((eight & ~kTop) + 0x7676767676767676) | eight) & kTop;
  return others == 0 ? 8 : __builtin_ctzll(others) / 8;
}

// The number of eight digits: pairs, then fours, then all, each step in all its places at once.
uint64_t EightDigits(uint64_t eight) {
  eight = eight * 10 + (eight >> 8);
  constexpr uint64_t kPairs = 0x000000ff000000ff;
  return ((eight & kPairs) * (100 + (1000000ull << 32)) + (eight >> 16 & kPairs) * (1 + (10000ull << 32))) >> 32;
}

}  // namespace

std::optional<float> ReadShortDecimal(std::string_view token) {
  // Few branches, and none on how many digits there are: their number is what differs from one to the next.
  const char* at = token.data();
  const char* const end = at + token.size();
  const bool negative = at != end && *at == '-';
  at += negative ? 1 : 0;
  const char* const whole = at;
  uint64_t digits = 0;
  while (at != end && IsDigit(*at) && at - whole < kMaxDigits)
    digits = digits * 10 + static_cast<uint64_t>(*at++ - '0');
  const int64_t before = at - whole;
  if (before == 0 || (*whole == '0' && before > 1)) return std::nullopt;
  int64_t places = 0;
  if (at != end && *at == '.') {
    const char* const fraction = ++at;
    int64_t count = 0;
    do {
      uint64_t eight;
      std::memcpy(&eight, at, sizeof eight);
      eight -= 0x3030303030303030;  // a borrow from a byte below '0' makes wrong only what comes after it
      count = std::min<int64_t>(CountDigits(eight), end - at);
      const uint64_t aligned = count == 8 ? eight : eight << (8 * (7 - count)) << 8;
      digits = digits * kShortPowersOfTen[count] + EightDigits(aligned);
      at += count;
    } while (count == 8 && at - fraction < kMaxDigits);
    places = at - fraction;
    if (places == 0) return std::nullopt;
  }
  if (before + places > kMaxDigits || digits > INT64_MAX) return std::nullopt;
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
  if (at != end) return std::nullopt;
  // Both are exact, so the quotient is the value rounded to 64 bits. Rounded again to 24 it is the nearest float unless
  // the first rounding made a tie.
  const long double value = static_cast<long double>(static_cast<int64_t>(digits)) / kPowersOfTen[places];
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0xffffffffff) == 0x8000000000) return std::nullopt;
  const auto nearest = static_cast<float>(value);
  return negative ? -nearest : nearest;
}

#else

std::optional<float> ReadShortDecimal(std::string_view) { return std::nullopt; }

#endif

}  // namespace alcove::gateway
