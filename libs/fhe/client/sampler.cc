#include "libs/fhe/client/sampler.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "libs/fhe/client/binomial.h"
#include "libs/fhe/poly/isa.h"

namespace alcove::fhe {
namespace {

// Without randomness nothing may go on: a predictable key is worse than none.
void RandomBytes(uint8_t* out, size_t bytes) {
  if (RAND_priv_bytes(out, static_cast<int>(bytes)) != 1) std::abort();
}

// AES-256-CTR of zeros under a fresh random key: as unpredictable as the generator the key comes from, at memory speed.
class KeyStream {
 public:
  KeyStream() : context_(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free) {
    uint8_t key[32];
    const uint8_t counter[16] = {};
    RandomBytes(key, sizeof key);
    // Looking an algorithm up takes libcrypto longer than setting a key, so it is done once.
    static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr);
    if (EVP_EncryptInit_ex(context_.get(), cipher, nullptr, key, counter) != 1) std::abort();
    OPENSSL_cleanse(key, sizeof key);
  }
  void Fill(void* out, size_t bytes) {
    auto* to = static_cast<uint8_t*>(out);
    static constexpr uint8_t kZeros[4096] = {};
    for (size_t now; bytes > 0; to += now, bytes -= now) {
      now = std::min(bytes, sizeof kZeros);
      int written = 0;
      if (EVP_EncryptUpdate(context_.get(), to, &written, kZeros, static_cast<int>(now)) != 1) std::abort();
    }
  }

 private:
  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
};

// Population count of the low 21 bits without tables.
uint32_t Count21(uint32_t x) {
  x &= 0x1fffff;
  x -= (x >> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >> 2) & 0x33333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f;
  return (x * 0x01010101) >> 24;
}

}  // namespace

void Wipe(void* data, size_t bytes) {
  if (bytes > 0) explicit_bzero(data, bytes);
}

Seed RandomSeed() {
  Seed seed;
  RandomBytes(seed.bytes.data(), seed.bytes.size());
  return seed;
}

std::vector<int8_t> SampleTernary(size_t count) {
  std::vector<int8_t> out(count);
  uint8_t buffer[1024];
  KeyStream stream;
  size_t used = sizeof buffer;
  for (size_t i = 0; i < count; ++i) {
    uint32_t byte = 255;
    // 255 values divide evenly by three; a rejected byte says nothing about the accepted ones.
    while (byte == 255) {
      if (used == sizeof buffer) {
        stream.Fill(buffer, sizeof buffer);
        used = 0;
      }
      byte = buffer[used++];
    }
    const uint32_t third = (byte * 171) >> 9;  // byte / 3 for byte < 255
    out[i] = static_cast<int8_t>(static_cast<int32_t>(byte - 3 * third) - 1);
  }
  Wipe(buffer, sizeof buffer);
  return out;
}

void CentredBinomialScalar(const uint8_t* bytes, int8_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint64_t x = 0;
    std::memcpy(&x, bytes + kBinomialBytes * i, kBinomialBytes);
    out[i] = static_cast<int8_t>(static_cast<int32_t>(Count21(static_cast<uint32_t>(x))) -
                                 static_cast<int32_t>(Count21(static_cast<uint32_t>(x >> 21))));
  }
}

bool HasVectorPopcount() {
  static const bool has = BestIsa() >= Isa::kAvx512 && __builtin_cpu_supports("avx512vpopcntdq");
  return has;
}

void SampleError(absl::Span<int8_t> out) {
  constexpr size_t kTogether = 512;
  uint8_t bytes[kTogether * kBinomialBytes + kBinomialSlack] = {};
  KeyStream stream;
  for (size_t i = 0; i < out.size(); i += kTogether) {
    const size_t now = std::min(kTogether, out.size() - i);
    stream.Fill(bytes, kTogether * kBinomialBytes);
    if (now % 8 == 0 && HasVectorPopcount()) {
      CentredBinomialAvx512(bytes, out.data() + i, now);
    } else if (now % 32 == 0 && BestIsa() >= Isa::kAvx2) {
      CentredBinomialAvx2(bytes, out.data() + i, now);
    } else {
      CentredBinomialScalar(bytes, out.data() + i, now);
    }
  }
  Wipe(bytes, sizeof bytes);
}

}  // namespace alcove::fhe
