#include "libs/fhe/client/sampler.h"

#include <cstdlib>

#include <openssl/crypto.h>
#include <openssl/rand.h>

namespace alcove::fhe {
namespace {

// Without randomness nothing may go on: a predictable key is worse than none.
void Fill(uint8_t* out, size_t bytes) {
  if (RAND_priv_bytes(out, static_cast<int>(bytes)) != 1) std::abort();
}

// Population count of the low 21 bits without tables.
uint32_t Count21(uint32_t x) {
  x &= 0x1fffff;
  x -= (x >> 1) & 0x55555555;
  x = (x & 0x33333333) + ((x >> 2) & 0x33333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f;
  return (x * 0x01010101) >> 24;
}

}  // namespace

void Wipe(void* data, size_t bytes) { OPENSSL_cleanse(data, bytes); }

Seed RandomSeed() {
  Seed seed;
  Fill(seed.bytes.data(), seed.bytes.size());
  return seed;
}

std::vector<int8_t> SampleTernary(size_t count) {
  std::vector<int8_t> out(count);
  uint8_t buffer[1024];
  size_t used = sizeof buffer;
  for (size_t i = 0; i < count; ++i) {
    uint32_t byte = 255;
    // 255 values divide evenly by three; a rejected byte says nothing about the accepted ones.
    while (byte == 255) {
      if (used == sizeof buffer) {
        Fill(buffer, sizeof buffer);
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

std::vector<int8_t> SampleError(size_t count) {
  std::vector<int8_t> out(count);
  uint8_t buffer[6 * 512];
  for (size_t i = 0; i < count;) {
    Fill(buffer, sizeof buffer);
    for (size_t at = 0; at < sizeof buffer && i < count; at += 6, ++i) {
      const uint8_t* b = buffer + at;
      const uint32_t heads = b[0] | (static_cast<uint32_t>(b[1]) << 8) | (static_cast<uint32_t>(b[2]) << 16);
      const uint32_t tails = b[3] | (static_cast<uint32_t>(b[4]) << 8) | (static_cast<uint32_t>(b[5]) << 16);
      out[i] = static_cast<int8_t>(static_cast<int32_t>(Count21(heads)) - static_cast<int32_t>(Count21(tails)));
    }
  }
  Wipe(buffer, sizeof buffer);
  return out;
}

}  // namespace alcove::fhe
