#include "libs/fhe/params/parameters.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include <absl/strings/str_cat.h>

#include "libs/fhe/fault.h"
#include "libs/fhe/params/modulus.h"
#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe {

absl::string_view SchemeName(Scheme scheme) {
  switch (scheme) {
    case Scheme::kNone: return "none";
    case Scheme::kBfv: return "BFV";
    case Scheme::kCkks: return "CKKS";
    case Scheme::kBgv: return "BGV";
  }
  return "unknown";
}

ParmsId EncryptionParameters::IdAt(size_t prime_count) const {
  std::vector<uint64_t> words = {static_cast<uint64_t>(scheme), degree};
  words.insert(words.end(), primes.begin(), primes.begin() + static_cast<std::ptrdiff_t>(prime_count));
  words.push_back(plain_modulus);
  std::vector<uint8_t> bytes;
  bytes.reserve(words.size() * 8);
  for (uint64_t word : words) {
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(word >> (8 * i)));
  }
  ParmsId id;
  Blake2b(bytes, absl::MakeSpan(id));
  return id;
}

size_t EncryptionParameters::PrimesAt(const ParmsId& id) const {
  for (size_t count = primes.size(); count >= 1; --count) {
    if (IdAt(count) == id) return count;
  }
  return 0;
}

int EncryptionParameters::TotalBits() const {
  std::vector<uint64_t> product = {1};  // little-endian words
  for (uint64_t prime : primes) {
    uint64_t carry = 0;
    for (uint64_t& word : product) {
      const unsigned __int128 p = static_cast<unsigned __int128>(word) * prime + carry;
      word = static_cast<uint64_t>(p);
      carry = static_cast<uint64_t>(p >> 64);
    }
    if (carry != 0) product.push_back(carry);
  }
  return static_cast<int>(64 * (product.size() - 1)) + static_cast<int>(std::bit_width(product.back()));
}

absl::Status Validate(const EncryptionParameters& p) {
  if (p.scheme != Scheme::kBfv && p.scheme != Scheme::kCkks && p.scheme != Scheme::kBgv) {
    return FaultError(Fault::kUnknownScheme, absl::StrCat("scheme ", static_cast<int>(p.scheme)));
  }
  if (!std::has_single_bit(p.degree) || p.degree < kMinDegree || p.degree > kMaxDegree) {
    return FaultError(Fault::kDegreeOutOfRange,
                      absl::StrCat("degree ", p.degree, " is not a power of two in 1024 … 32768"));
  }
  if (p.primes.empty() || p.primes.size() > kMaxPrimes) {
    return FaultError(Fault::kPrimeCountOutOfRange, absl::StrCat(p.primes.size(), " coefficient primes"));
  }
  // Sizes before primality, so that hostile parameters are refused before any costly arithmetic.
  for (uint64_t prime : p.primes) {
    if (prime < 2 || std::bit_width(prime) > 60) {
      return FaultError(Fault::kPrimeOutOfRange, absl::StrCat("coefficient prime ", prime, " is not of 2 … 60 bits"));
    }
  }
  const int bits = p.TotalBits();
  const int allowed = MaxModulusBits(SecurityLevel::kClassical128, p.degree);
  if (bits > allowed) {
    return FaultError(Fault::kInsecure, absl::StrCat("a modulus of ", bits, " bits at degree ", p.degree,
                                                     " is below 128-bit security; at most ", allowed, " bits"));
  }
  for (size_t i = 0; i < p.primes.size(); ++i) {
    const uint64_t prime = p.primes[i];
    if (std::find(p.primes.begin(), p.primes.begin() + static_cast<std::ptrdiff_t>(i), prime) !=
        p.primes.begin() + static_cast<std::ptrdiff_t>(i)) {
      return FaultError(Fault::kPrimeRepeated, absl::StrCat("coefficient prime ", prime, " appears twice"));
    }
    if (!IsPrime(prime)) {
      return FaultError(Fault::kPrimeNotPrime, absl::StrCat("coefficient modulus ", prime, " is composite"));
    }
    if (prime % (2 * p.degree) != 1) {
      return FaultError(Fault::kPrimeNotNttFriendly,
                        absl::StrCat("coefficient prime ", prime, " is not 1 modulo ", 2 * p.degree));
    }
  }
  if (p.scheme == Scheme::kCkks) {
    if (p.plain_modulus != 0) {
      return FaultError(Fault::kPlainModulusOutOfRange, "CKKS has no plain modulus; it must be 0");
    }
    return absl::OkStatus();
  }
  if (p.plain_modulus < 2 || std::bit_width(p.plain_modulus) > 60) {
    return FaultError(Fault::kPlainModulusOutOfRange,
                      absl::StrCat("plain modulus ", p.plain_modulus, " is not of 2 … 60 bits"));
  }
  for (uint64_t prime : p.primes) {
    if (std::gcd(prime, p.plain_modulus) != 1) {
      return FaultError(Fault::kPlainModulusNotCoprime,
                        absl::StrCat("plain modulus ", p.plain_modulus, " shares a factor with ", prime));
    }
  }
  if (p.DataPrimes() == 1 && p.plain_modulus >= p.primes[0]) {
    return FaultError(Fault::kPlainModulusTooLarge,
                      absl::StrCat("plain modulus ", p.plain_modulus, " is not below the coefficient modulus"));
  }
  return absl::OkStatus();
}

}  // namespace alcove::fhe
