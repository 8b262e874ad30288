// Encryption parameters as SEAL defines them, their identity (parms_id) and the checks they must pass.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "libs/fhe/params/security.h"

namespace alcove::fhe {

enum class Scheme : uint8_t { kNone = 0, kBfv = 1, kCkks = 2, kBgv = 3 };

// "BFV", "CKKS", "BGV" or "none".
absl::string_view SchemeName(Scheme scheme);

// 32-byte BLAKE2b digest naming one parameter set at one level of its modulus-switching chain. All zero means "no
// level": a plaintext that is not in NTT form.
using ParmsId = std::array<uint8_t, 32>;

inline constexpr uint64_t kMinDegree = 1024;
inline constexpr uint64_t kMaxDegree = 32768;
inline constexpr size_t kMaxPrimes = 64;

// Plain values; nothing is checked until Validate().
struct EncryptionParameters {
  Scheme scheme = Scheme::kNone;
  uint64_t degree = 0;           // N, coefficients of a polynomial
  std::vector<uint64_t> primes;  // coefficient modulus at the key level; the last one is the special prime
  uint64_t plain_modulus = 0;    // t; 0 for CKKS

  // BLAKE2b-256 over the little-endian words [scheme, N, primes[0 … prime_count-1], t].
  ParmsId IdAt(size_t prime_count) const;
  // The level of keys: every prime.
  ParmsId KeyId() const { return IdAt(primes.size()); }
  // Primes a fresh ciphertext has: all but the special one (all when there is only one prime).
  size_t DataPrimes() const { return primes.size() > 1 ? primes.size() - 1 : primes.size(); }
  ParmsId DataId() const { return IdAt(DataPrimes()); }
  // How many primes the level `id` has, or 0 when `id` is no level of these parameters.
  size_t PrimesAt(const ParmsId& id) const;
  // Significant bits of the product of all primes.
  int TotalBits() const;

  friend bool operator==(const EncryptionParameters&, const EncryptionParameters&) = default;
};

// Checks everything this library computes with: ranges, primality, q = 1 mod 2N, distinct primes, plain modulus, and
// the 128-bit classical security bound. The error carries the Fault that names the first violation.
absl::Status Validate(const EncryptionParameters& parameters);

}  // namespace alcove::fhe
