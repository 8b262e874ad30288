#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "libs/ann/index.h"
#include "libs/ann/test_data.h"
#include "libs/common/hash.h"

namespace {

// Checksums would stop every mutation at the first section, so they are made right again where the sections lie.
void Reseal(std::string& data) {
  const auto hash = [&](size_t at, size_t size, uint64_t seed) {
    return alcove::Hash64({data.data() + at, size}, seed);
  };
  if (data.size() < 80) return;
  const uint64_t header = hash(0, 72, 1);
  std::memcpy(data.data() + 72, &header, 8);
  for (size_t at = 80; at + 24 <= data.size();) {
    uint64_t chain = hash(at, 16, 1), bytes;
    std::memcpy(data.data() + at + 16, &chain, 8);
    std::memcpy(&bytes, data.data() + at + 8, 8);
    uint32_t id;
    std::memcpy(&id, data.data() + at, 4);
    at += 24;
    if (id == 4) {  // from a page on in one piece, its checksums behind it
      at += (4096 - at % 4096) % 4096;
      if (at > data.size() || bytes > data.size() - at) return;
      size_t sum = at + bytes;
      for (; bytes > 0 && sum + 8 <= data.size(); sum += 8) {
        const size_t part = bytes < (1 << 20) ? bytes : (1 << 20);
        chain = hash(at, part, chain);
        std::memcpy(data.data() + sum, &chain, 8);
        at += part;
        bytes -= part;
      }
      at = sum;
      continue;
    }
    while (bytes > 0 && at < data.size()) {
      const size_t part = bytes < (1 << 20) ? bytes : (1 << 20);
      if (part + 8 > data.size() - at) return;
      chain = hash(at, part, chain);
      std::memcpy(data.data() + at + part, &chain, 8);
      at += part + 8;
      bytes -= part;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string data(reinterpret_cast<const char*>(bytes), size);
  Reseal(data);
  alcove::ann::StringSource source(data);
  auto index = alcove::ann::LoadIndex(source, {.max_threads = 1, .max_bytes = 1 << 20});
  if (!index.ok()) return 0;
  // What was accepted must be safe to use.
  std::vector<float> query((*index)->dim(), 0.5f);
  (void)(*index)->Search(query, {.k = 3, .ef = 16});
  (void)(*index)->Search(query, {.k = 3, .exact = true});
  for (alcove::ann::RowId row = 0; row < 8; ++row) {
    if (!(*index)->Update(row, query).ok()) (void)(*index)->Add(row, query);
  }
  (void)(*index)->Optimize();
  (void)(*index)->Search(query, {.k = 300, .ef = 300});
  return 0;
}
