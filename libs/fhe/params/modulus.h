// A word-sized modulus with its reduction constants, and the number theory the parameters need: primality, NTT-friendly
// primes in SEAL's order, primitive roots. Everything here handles public values only and may branch on them.
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

namespace alcove::fhe {

// Multiplication operand with its Shoup quotient: floor(value * 2^64 / q). Lets x * value mod q cost two
// multiplications for any 64-bit x (Harvey, "Faster arithmetic for number-theoretic transforms", 2014, section 2).
struct ShoupWord {
  uint64_t value = 0;
  uint64_t quotient = 0;
};

// An immutable modulus of 2 … 61 bits. Thread safe. All results are in [0, value).
class Modulus {
 public:
  Modulus() = default;
  // Requires 2 <= value < 2^61.
  explicit Modulus(uint64_t value);

  uint64_t value() const { return value_; }
  int bits() const { return bits_; }

  // x mod q for any 64-bit x (Barrett, constant time).
  uint64_t Reduce(uint64_t x) const;
  // x mod q for any 128-bit x (Barrett, constant time).
  uint64_t Reduce128(unsigned __int128 x) const;
  // a, b < q for the rest.
  uint64_t Add(uint64_t a, uint64_t b) const {
    const uint64_t s = a + b;
    return s - (value_ & -static_cast<uint64_t>(s >= value_));
  }
  uint64_t Sub(uint64_t a, uint64_t b) const { return a - b + (value_ & -static_cast<uint64_t>(a < b)); }
  uint64_t Neg(uint64_t a) const { return (value_ - a) & -static_cast<uint64_t>(a != 0); }
  uint64_t Mul(uint64_t a, uint64_t b) const { return Reduce128(static_cast<unsigned __int128>(a) * b); }
  uint64_t Pow(uint64_t base, uint64_t exponent) const;
  // The inverse of a modulo a prime q; a != 0.
  uint64_t Inverse(uint64_t a) const { return Pow(a, value_ - 2); }
  // v mod q for a signed v.
  uint64_t FromSigned(int64_t v) const;

  ShoupWord Shoup(uint64_t b) const;
  // floor(b * 2^bits / q) for b < q and bits <= 64, in constant time.
  uint64_t ShoupQuotient(uint64_t b, int bits) const;
  // x * b mod q for any 64-bit x.
  uint64_t Mul(uint64_t x, ShoupWord b) const {
    const uint64_t h = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * b.quotient) >> 64);
    const uint64_t r = x * b.value - h * value_;
    return r - (value_ & -static_cast<uint64_t>(r >= value_));
  }

  friend bool operator==(const Modulus& a, const Modulus& b) { return a.value_ == b.value_; }

 private:
  uint64_t value_ = 0;
  uint64_t ratio_lo_ = 0;  // floor(2^128 / q), low and high word
  uint64_t ratio_hi_ = 0;
  int bits_ = 0;
};

// Deterministic Miller–Rabin for every 64-bit number.
bool IsPrime(uint64_t n);

// The numerically smallest primitive 2N-th root of unity modulo the prime q (q = 1 mod 2N), which fixes the order of
// NTT values on the wire.
uint64_t MinimalRoot(const Modulus& q, uint64_t two_n);

// SEAL's CoeffModulus::Create: for each requested bit size the largest primes that are 1 mod 2N, handed out smallest
// first in list order. Errors: degree or a size out of range, or not that many such primes exist.
absl::StatusOr<std::vector<uint64_t>> CreatePrimes(uint64_t degree, absl::Span<const int> bit_sizes);

}  // namespace alcove::fhe
