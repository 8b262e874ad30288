// SEAL's objects as plain values, and their exact wire forms. Reading checks everything SEAL's loaders check and what
// they leave to the caller; a refused object gives a status that carries a Fault. Writing takes the version to stamp.
//
// A secret key has no type here: only the client target knows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "libs/fhe/params/parameters.h"
#include "libs/fhe/random/stream.h"
#include "libs/fhe/wire/container.h"

namespace alcove::fhe {

// Residues are polynomial-major, then prime, then coefficient: words[(p * primes + j) * degree + i] < q_j.
// A seeded ciphertext has two polynomials but words for the first only; the second is the seed's expansion.
struct Ciphertext {
  ParmsId parms_id{};
  bool ntt_form = false;
  size_t polynomials = 0;
  size_t degree = 0;
  size_t primes = 0;
  double scale = 1.0;
  uint64_t correction_factor = 1;
  std::vector<uint64_t> words;
  std::optional<Seed> seed;

  absl::Span<const uint64_t> Row(size_t polynomial, size_t prime) const {
    return absl::MakeConstSpan(words).subspan((polynomial * primes + prime) * degree, degree);
  }
  absl::Span<uint64_t> Row(size_t polynomial, size_t prime) {
    return absl::MakeSpan(words).subspan((polynomial * primes + prime) * degree, degree);
  }
  friend bool operator==(const Ciphertext&, const Ciphertext&) = default;
};

// Coefficients below t with an all-zero parms_id, or (CKKS, or NTT form) residues of the level parms_id names.
struct Plaintext {
  ParmsId parms_id{};
  double scale = 1.0;
  std::vector<uint64_t> words;

  bool ntt_form() const { return parms_id != ParmsId{}; }
  friend bool operator==(const Plaintext&, const Plaintext&) = default;
};

// A ciphertext at the key level in NTT form.
struct PublicKey {
  Ciphertext value;
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

// The keys of one switching target, one digit (a PublicKey) per data prime. For Galois keys the element is 2 * index +
// 1; for relinearisation keys the power of s is index + 2.
struct KeySwitchKey {
  size_t index = 0;
  std::vector<PublicKey> digits;
  friend bool operator==(const KeySwitchKey&, const KeySwitchKey&) = default;
};

// In rising order of index; only indices that have keys.
struct GaloisKeys {
  std::vector<KeySwitchKey> keys;
  const KeySwitchKey* Find(uint64_t element) const;
  friend bool operator==(const GaloisKeys&, const GaloisKeys&) = default;
};
struct RelinKeys {
  std::vector<KeySwitchKey> keys;
  friend bool operator==(const RelinKeys&, const RelinKeys&) = default;
};

// What the caller expects of a ciphertext beyond being well formed.
struct CiphertextRules {
  size_t max_polynomials = 3;
  std::optional<size_t> primes;  // exactly this level; empty: any data level
  std::optional<bool> ntt_form;  // exactly this form; empty: what the scheme uses
};

// Members of a parameter object take at most this many bytes.
absl::StatusOr<Stamped<EncryptionParameters>> ReadParameters(absl::string_view bytes);
// The rest take validated parameters; objects made under others are refused with kParmsIdMismatch.
absl::StatusOr<Stamped<Ciphertext>> ReadCiphertext(absl::string_view bytes, const EncryptionParameters& parameters,
                                                   const CiphertextRules& rules = {});
absl::StatusOr<Stamped<Plaintext>> ReadPlaintext(absl::string_view bytes, const EncryptionParameters& parameters);
absl::StatusOr<Stamped<PublicKey>> ReadPublicKey(absl::string_view bytes, const EncryptionParameters& parameters);
// max_keys bounds the number of Galois elements (kTooLarge beyond).
absl::StatusOr<Stamped<GaloisKeys>> ReadGaloisKeys(absl::string_view bytes, const EncryptionParameters& parameters,
                                                   size_t max_keys);
absl::StatusOr<Stamped<RelinKeys>> ReadRelinKeys(absl::string_view bytes, const EncryptionParameters& parameters);

std::string WriteParameters(const EncryptionParameters& parameters, const WireFormat& format);
std::string WriteCiphertext(const Ciphertext& ciphertext, const WireFormat& format);
std::string WritePlaintext(const Plaintext& plaintext, const WireFormat& format);
std::string WritePublicKey(const PublicKey& key, const WireFormat& format);
std::string WriteGaloisKeys(const GaloisKeys& keys, const EncryptionParameters& parameters, const WireFormat& format);
std::string WriteRelinKeys(const RelinKeys& keys, const EncryptionParameters& parameters, const WireFormat& format);

// Bytes of the uncompressed objects, for limits and for telling clients what to expect.
size_t CiphertextBytes(size_t degree, size_t primes, size_t polynomials, bool seeded);
size_t GaloisKeysBytes(const EncryptionParameters& parameters, size_t elements, bool seeded);

// Replaces the seed by the polynomial it stands for. No effect without a seed.
void ExpandSeed(Ciphertext& ciphertext, const EncryptionParameters& parameters);

}  // namespace alcove::fhe
