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

void SeedStream::Read(absl::Span<uint8_t> out) {
  while (!out.empty()) {
    if (used_ == block_.size()) {
      const size_t whole = out.size() / block_.size();
      StreamBlocks(seed_, counter_, whole, out.data());
      counter_ += whole;
      out.remove_prefix(whole * block_.size());
      if (out.empty()) return;
      StreamBlocks(seed_, counter_++, 1, block_.data());
      used_ = 0;
    }
    const size_t take = std::min(out.size(), block_.size() - used_);
    std::memcpy(out.data(), block_.data() + used_, take);
    used_ += take;
    out.remove_prefix(take);
  }
}

void ExpandUniform(const Seed& seed, absl::Span<const Modulus> primes, size_t degree, absl::Span<uint64_t> out) {
  SeedStream stream(seed);
  stream.Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(out.data()), out.size() * sizeof(uint64_t)));
  for (size_t j = 0; j < primes.size(); ++j) {
    const Modulus& q = primes[j];
    const uint64_t all = ~uint64_t{0};
    const uint64_t bound = all - all % q.value() - 1;
    const absl::Span<uint64_t> row = out.subspan(j * degree, degree);
    const uniform::Kernels& kernels = uniform::Best(q.bits());
    // Rejected words are rare for primes just below a power of two; one pass finds the largest, and only then are they
    // looked for one by one. The words are public, so branching on them is fine.
    if (kernels.largest(row.data(), row.size()) >= bound) {
      for (uint64_t& word : row) {
        while (word >= bound) stream.Read(absl::MakeSpan(reinterpret_cast<uint8_t*>(&word), sizeof word));
      }
    }
    kernels.reduce(row.data(), row.size(),
                   {q.value(), q.bits(), static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / q.value()),
                    static_cast<uint64_t>((static_cast<unsigned __int128>(1) << (51 + q.bits())) / q.value())});
  }
}

}  // namespace alcove::fhe
