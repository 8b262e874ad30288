#include "libs/fhe/random/stream.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <openssl/evp.h>

#include "libs/fhe/poly/isa.h"
#include "libs/fhe/random/blake2xb.h"
#include "libs/fhe/random/shake256.h"
#include "libs/fhe/random/uniform.h"

namespace alcove::fhe {

void StreamBlocks(const Seed& seed, uint64_t counter, size_t count, uint8_t* out) {
  if (seed.generator == Generator::kBlake2xb) {
    uint64_t keyed[8];
    blake2xb::CompressKey(seed.bytes.data(), keyed);
    blake2xb::Best()(keyed, counter, count, out);
    return;
  }
  static const EVP_MD* const shake = EVP_shake256();
  const bool wide = BestIsa() >= Isa::kAvx512;
  while (count > 0) {
    if (wide && count >= 8) {
      Shake256EightBlocksAvx512(seed.bytes.data(), counter, out);
      counter += 8;
      count -= 8;
      out += 8 * kStreamBlockBytes;
      continue;
    }
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    // These calls fail only when memory is exhausted, which ends the process elsewhere too.
    EVP_DigestInit_ex(ctx.get(), shake, nullptr);
    EVP_DigestUpdate(ctx.get(), seed.bytes.data(), seed.bytes.size());
    EVP_DigestUpdate(ctx.get(), &counter, sizeof counter);
    EVP_DigestFinalXOF(ctx.get(), out, kStreamBlockBytes);
    ++counter;
    --count;
    out += kStreamBlockBytes;
  }
}

SeedStream::SeedStream(const Seed& seed) : seed_(seed) {
  if (seed.generator == Generator::kBlake2xb) blake2xb::CompressKey(seed.bytes.data(), keyed_);
}

void SeedStream::Blocks(size_t count, uint8_t* out) {
  if (seed_.generator == Generator::kBlake2xb) {
    blake2xb::Best()(keyed_, counter_, count, out);
  } else {
    StreamBlocks(seed_, counter_, count, out);
  }
  counter_ += count;
}

void SeedStream::Read(absl::Span<uint8_t> out) {
  while (!out.empty()) {
    if (used_ == block_.size()) {
      const size_t whole = out.size() / block_.size();
      Blocks(whole, out.data());
      out.remove_prefix(whole * block_.size());
      if (out.empty()) return;
      Blocks(1, block_.data());
      used_ = 0;
    }
    const size_t take = std::min(out.size(), block_.size() - used_);
    std::memcpy(out.data(), block_.data() + used_, take);
    used_ += take;
    out.remove_prefix(take);
  }
}

namespace {

// The largest multiple of q that 64 bits hold, but for SEAL's rounding of it.
uint64_t AcceptedBelow(const Modulus& q) {
  constexpr uint64_t kAll = ~uint64_t{0};
  return kAll - kAll % q.value() - 1;
}

// Blocks that are expanded before their words are reduced: as many as the lanes that compute roots side by side, and
// few enough to stay in the first-level cache.
constexpr size_t kTogetherBytes = 8 * kStreamBlockBytes;

// Reduces all rows; false when a word of them is one that is to be replaced.
bool ReduceRows(absl::Span<const Modulus> primes, size_t degree, absl::Span<uint64_t> words) {
  bool accepted = true;
  for (size_t j = 0; j < primes.size(); ++j) {
    const Modulus& q = primes[j];
    const uint64_t largest = uniform::Best(q.bits()).reduce(
        words.data() + j * degree, degree,
        {q.value(), q.bits(), static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / q.value()),
         static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (51 + q.bits())) / q.value())});
    accepted = accepted && largest < AcceptedBelow(q);
  }
  return accepted;
}

}  // namespace

void ExpandUniform(const Seed& seed, absl::Span<const Modulus> primes, size_t degree, absl::Span<uint64_t> out) {
  const auto bytes = absl::MakeSpan(reinterpret_cast<uint8_t*>(out.data()), out.size() * sizeof(uint64_t));
  const size_t row_bytes = degree * sizeof(uint64_t);
  const size_t rows_together = std::max<size_t>(1, kTogetherBytes / row_bytes);
  SeedStream first(seed);
  bool accepted = true;
  for (size_t row = 0, now; row < primes.size(); row += now) {
    now = std::min(rows_together, primes.size() - row);
    first.Read(bytes.subspan(row * row_bytes, now * row_bytes));
    accepted &= ReduceRows(primes.subspan(row, now), degree, out.subspan(row * degree, now * degree));
  }
  // Rejected words are rare for primes just below a power of two, so the stream is read again where there are any; the
  // words are public, so branching on them is fine.
  if (accepted) return;
  SeedStream stream(seed);
  stream.Read(bytes);
  for (size_t j = 0; j < primes.size(); ++j) {
    const uint64_t bound = AcceptedBelow(primes[j]);
    for (uint64_t& word : out.subspan(j * degree, degree)) {
      while (word >= bound) stream.Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(&word), sizeof word));
    }
  }
  ReduceRows(primes, degree, out);
}

}  // namespace alcove::fhe
