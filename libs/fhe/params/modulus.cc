#include "libs/fhe/params/modulus.h"

#include <algorithm>
#include <bit>
#include <map>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"

namespace alcove::fhe {
namespace {

using u128 = unsigned __int128;

uint64_t MulHigh(uint64_t a, uint64_t b) { return static_cast<uint64_t>((static_cast<u128>(a) * b) >> 64); }

uint64_t PlainMulMod(uint64_t a, uint64_t b, uint64_t n) { return static_cast<uint64_t>(static_cast<u128>(a) * b % n); }

uint64_t PlainPowMod(uint64_t base, uint64_t e, uint64_t n) {
  uint64_t result = 1 % n;
  for (base %= n; e != 0; e >>= 1) {
    if (e & 1) result = PlainMulMod(result, base, n);
    base = PlainMulMod(base, base, n);
  }
  return result;
}

}  // namespace

Modulus::Modulus(uint64_t value) : value_(value), bits_(std::bit_width(value)) {
  const u128 all = ~static_cast<u128>(0);
  // floor(2^128 / q): q is no power of two above 2 in use, and for those that are, (2^128 - 1) / q is one less only
  // when q divides 2^128, which the correction step of the reductions absorbs.
  const u128 ratio = all / value;
  ratio_lo_ = static_cast<uint64_t>(ratio);
  ratio_hi_ = static_cast<uint64_t>(ratio >> 64);
}

uint64_t Modulus::Reduce(uint64_t x) const {
  // ratio_hi = floor(2^64 / q) up to one; the estimate is at most one too small, twice with the rounding.
  uint64_t r = x - MulHigh(x, ratio_hi_) * value_;
  r -= value_ & -static_cast<uint64_t>(r >= value_);
  return r - (value_ & -static_cast<uint64_t>(r >= value_));
}

uint64_t Modulus::Reduce128(u128 x) const {
  const uint64_t lo = static_cast<uint64_t>(x);
  const uint64_t hi = static_cast<uint64_t>(x >> 64);
  // High word (bits 128 … 191) of x * ratio; only its value modulo 2^64 matters because the remainder fits a word.
  const u128 cross1 = static_cast<u128>(lo) * ratio_hi_ + MulHigh(lo, ratio_lo_);
  const u128 cross2 = static_cast<u128>(hi) * ratio_lo_ + static_cast<uint64_t>(cross1);
  const uint64_t quotient = hi * ratio_hi_ + static_cast<uint64_t>(cross1 >> 64) + static_cast<uint64_t>(cross2 >> 64);
  uint64_t r = lo - quotient * value_;
  r -= value_ & -static_cast<uint64_t>(r >= value_);
  return r - (value_ & -static_cast<uint64_t>(r >= value_));
}

uint64_t Modulus::Pow(uint64_t base, uint64_t exponent) const {
  uint64_t result = Reduce(1);
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) result = Mul(result, base);
    base = Mul(base, base);
  }
  return result;
}

uint64_t Modulus::FromSigned(int64_t v) const {
  const uint64_t negative = -static_cast<uint64_t>(v < 0);
  const uint64_t magnitude = (static_cast<uint64_t>(v) ^ negative) - negative;
  const uint64_t r = Reduce(magnitude);
  return (r & ~negative) | (Neg(r) & negative);
}

ShoupWord Modulus::Shoup(uint64_t b) const { return {b, static_cast<uint64_t>((static_cast<u128>(b) << 64) / value_)}; }

uint64_t Modulus::ShoupQuotient(uint64_t b, int bits) const {
  // b * floor(2^128 / q) / 2^(128 - bits), from below by less than two.
  const u128 low = static_cast<u128>(b) * ratio_lo_;
  const u128 scaled = static_cast<u128>(b) * ratio_hi_ + static_cast<uint64_t>(low >> 64);
  uint64_t estimate = static_cast<uint64_t>(scaled >> (64 - bits));
  u128 rest = (static_cast<u128>(b) << bits) - static_cast<u128>(estimate) * value_;
  for (int i = 0; i < 2; ++i) {
    const uint64_t step = static_cast<uint64_t>(rest >= value_);
    estimate += step;
    rest -= static_cast<u128>(value_) & -static_cast<u128>(step);
  }
  return estimate;
}

bool IsPrime(uint64_t n) {
  constexpr uint64_t kBases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};  // enough below 2^64 (Sorenson, Webster)
  if (n < 2) return false;
  for (uint64_t p : kBases) {
    if (n % p == 0) return n == p;
  }
  const int twos = std::countr_zero(n - 1);
  const uint64_t odd = (n - 1) >> twos;
  for (uint64_t a : kBases) {
    uint64_t x = PlainPowMod(a, odd, n);
    if (x == 1 || x == n - 1) continue;
    bool composite = true;
    for (int i = 1; i < twos && composite; ++i) {
      x = PlainMulMod(x, x, n);
      composite = x != n - 1;
    }
    if (composite) return false;
  }
  return true;
}

uint64_t MinimalRoot(const Modulus& q, uint64_t two_n) {
  // Any primitive root: g^((q-1)/2N) is one exactly when its N-th power is -1.
  uint64_t root = 0;
  for (uint64_t g = 2; root == 0; ++g) {
    const uint64_t candidate = q.Pow(q.Reduce(g), (q.value() - 1) / two_n);
    if (q.Pow(candidate, two_n / 2) == q.value() - 1) root = candidate;
  }
  const uint64_t step = q.Mul(root, root);
  uint64_t smallest = root;
  uint64_t current = root;
  for (uint64_t i = 1; i < two_n / 2; ++i) {
    current = q.Mul(current, step);
    smallest = std::min(smallest, current);
  }
  return smallest;
}

absl::StatusOr<std::vector<uint64_t>> CreatePrimes(uint64_t degree, absl::Span<const int> bit_sizes) {
  if (!std::has_single_bit(degree) || degree < 2 || degree > 131072) {
    return FaultError(Fault::kDegreeOutOfRange, absl::StrCat("degree ", degree));
  }
  std::map<int, int> wanted;
  for (int bits : bit_sizes) {
    if (bits < 2 || bits > 60) return FaultError(Fault::kPrimeOutOfRange, absl::StrCat(bits, " bits"));
    ++wanted[bits];
  }
  std::map<int, std::vector<uint64_t>> found;  // largest first
  for (const auto& [bits, count] : wanted) {
    const uint64_t factor = 2 * degree;
    const uint64_t top = (uint64_t{1} << bits) - 1;
    const uint64_t floor = uint64_t{1} << (bits - 1);
    std::vector<uint64_t>& primes = found[bits];
    if (top / factor > 0) {
      for (uint64_t n = top / factor * factor + 1; n > floor && static_cast<int>(primes.size()) < count; n -= factor) {
        if (n <= top && IsPrime(n)) primes.push_back(n);
        if (n < factor) break;
      }
    }
    if (static_cast<int>(primes.size()) < count) {
      return FaultError(Fault::kPrimeOutOfRange,
                        absl::StrCat("fewer than ", count, " primes of ", bits, " bits are 1 modulo ", factor));
    }
  }
  std::vector<uint64_t> out;
  for (int bits : bit_sizes) {
    out.push_back(found[bits].back());
    found[bits].pop_back();
  }
  return out;
}

}  // namespace alcove::fhe
