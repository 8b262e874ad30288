// The two byte streams SEAL derives from a 64-byte seed, and uniform polynomials drawn from them.
//
// Stream: blocks of 4096 bytes for counter 0, 1, 2, …; type Blake2xb: BLAKE2Xb keyed with the seed over the counter;
// type Shake256: SHAKE256 of seed || counter. Seeds here are public (they travel in the clear beside a ciphertext).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "libs/fhe/params/modulus.h"

namespace alcove::fhe {

enum class Generator : uint8_t { kBlake2xb = 1, kShake256 = 2 };

struct Seed {
  Generator generator = Generator::kBlake2xb;
  std::array<uint8_t, 64> bytes{};

  friend bool operator==(const Seed&, const Seed&) = default;
};

inline constexpr size_t kStreamBlockBytes = 4096;

// Blocks counter … counter + count - 1 of the stream of `seed`, computed side by side.
void StreamBlocks(const Seed& seed, uint64_t counter, size_t count, uint8_t* out);

// Sequential bytes of a stream. Not thread safe.
class SeedStream {
 public:
  explicit SeedStream(const Seed& seed);
  void Read(absl::Span<uint8_t> out);

 private:
  void Blocks(size_t count, uint8_t* out);

  Seed seed_;
  uint64_t keyed_[8] = {};  // BLAKE2Xb's state after the seed
  uint64_t counter_ = 0;
  size_t used_ = kStreamBlockBytes;
  std::array<uint8_t, kStreamBlockBytes> block_;
};

// One uniform polynomial per prime, prime-major: out[j * degree + i] in [0, primes[j]). Words at or above the largest
// multiple of the prime are replaced by the stream's next words, in order, as SEAL does.
// out.size() must be primes.size() * degree.
void ExpandUniform(const Seed& seed, absl::Span<const Modulus> primes, size_t degree, absl::Span<uint64_t> out);

}  // namespace alcove::fhe
