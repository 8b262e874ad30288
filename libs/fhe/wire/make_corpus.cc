// Writes the seed corpus of objects_fuzz: one small valid object of each kind and compression mode.
// usage: fhe_make_corpus OUT_DIR

#include <cstdio>
#include <fstream>
#include <string>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/wire/objects.h"

namespace alcove::fhe {
namespace {

// Varied residues of few distinct values, so that compressed seeds stay small.
Ciphertext Sample(const EncryptionParameters& p, bool key, bool seeded) {
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

void WriteAll(const std::string& folder) {
  const EncryptionParameters p = {Scheme::kBfv, 2048, *CreatePrimes(2048, {14, 16}), 257};
  const auto put = [&](char reader, const std::string& name, const std::string& object) {
    std::ofstream(folder + "/" + name, std::ios::binary) << reader << object;
  };
  const WireFormat plain_format{{4, 1}, Compression::kNone};
  const WireFormat zlib{{4, 3}, Compression::kZlib};
  const WireFormat zstd{{3, 6}, Compression::kZstd};
  GaloisKeys galois;
  galois.keys.push_back({1, {PublicKey{Sample(p, true, true)}}});
  RelinKeys relin;
  relin.keys.push_back({0, {PublicKey{Sample(p, true, false)}}});
  Plaintext plain;
  plain.words = {1, 2, 3};
  put(0, "parms_none", WriteParameters(p, plain_format));
  put(0, "parms_zlib", WriteParameters(p, zlib));
  put(0, "parms_zstd", WriteParameters(p, zstd));
  put(1, "ciphertext_zlib", WriteCiphertext(Sample(p, false, false), zlib));
  put(1, "ciphertext_seeded_zstd", WriteCiphertext(Sample(p, false, true), zstd));
  put(1, "ciphertext_seeded_none", WriteCiphertext(Sample(p, false, true), plain_format));
  put(2, "plaintext_none", WritePlaintext(plain, plain_format));
  put(2, "plaintext_zstd", WritePlaintext(plain, zstd));
  put(3, "public_key_zlib", WritePublicKey({Sample(p, true, false)}, zlib));
  put(4, "galois_zlib", WriteGaloisKeys(galois, p, zlib));
  put(4, "galois_zstd", WriteGaloisKeys(galois, p, zstd));
  put(5, "relin_zlib", WriteRelinKeys(relin, p, zlib));
}

}  // namespace
}  // namespace alcove::fhe

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s OUT_DIR\n", argv[0]);
    return 2;
  }
  alcove::fhe::WriteAll(argv[1]);
  return 0;
}
