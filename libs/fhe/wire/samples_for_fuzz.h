// A small valid object of each kind, as bytes: what the fuzz targets and their corpora start from.
#pragma once

#include <string>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe::samples {

inline constexpr SealVersion kVersions[] = {{3, 6}, {3, 7}, {4, 0}, {4, 1}, {4, 2}, {4, 3}, {4, 4}};

// Keep an input's cost low; degree 2048 with two small primes is the least that switches keys.
inline const EncryptionParameters& Small() {
  static const EncryptionParameters p = {Scheme::kBfv, 2048, *CreatePrimes(2048, {14, 16}), 257};
  return p;
}

// Varied residues of few distinct values, so that compressed objects stay small.
inline Ciphertext Sample(bool key, bool seeded) {
  const EncryptionParameters& p = Small();
  Ciphertext c;
  c.parms_id = key ? p.KeyId() : p.DataId();
  c.ntt_form = key;
  c.polynomials = 2;
  c.degree = p.degree;
  c.primes = key ? p.primes.size() : p.DataPrimes();
  c.words.resize(c.primes * c.degree * (seeded ? 1 : 2));
  for (size_t i = 0; i < c.words.size(); ++i) c.words[i] = i % 7;
  if (seeded) c.seed = Seed{};
  return c;
}

inline std::string Parameters(const WireFormat& format) { return WriteParameters(Small(), format); }
inline std::string SeededCiphertext(const WireFormat& format) { return WriteCiphertext(Sample(false, true), format); }
inline std::string FullCiphertext(const WireFormat& format) { return WriteCiphertext(Sample(false, false), format); }
inline std::string PublicKeyObject(const WireFormat& format) { return WritePublicKey({Sample(true, false)}, format); }
inline std::string PlaintextObject(const WireFormat& format) {
  Plaintext plain;
  plain.words = {1, 2, 3};
  return WritePlaintext(plain, format);
}
inline std::string GaloisObject(const WireFormat& format) {
  GaloisKeys galois;
  galois.keys.push_back({1, {PublicKey{Sample(true, true)}}});
  return WriteGaloisKeys(galois, Small(), format);
}
inline std::string RelinObject(const WireFormat& format) {
  RelinKeys relin;
  relin.keys.push_back({0, {PublicKey{Sample(true, false)}}});
  return WriteRelinKeys(relin, Small(), format);
}
// A SecretKey object has the members of a plaintext at the key level; this key is zero.
inline std::string SecretObject(const WireFormat& format) {
  Plaintext plain;
  plain.parms_id = Small().KeyId();
  plain.words.resize(Small().degree * Small().primes.size());
  return WritePlaintext(plain, format);
}

}  // namespace alcove::fhe::samples
