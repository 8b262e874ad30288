// The decoder must survive any bytes. The checksum would keep a fuzzer out, so the input is also tried sealed.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "libs/common/hash.h"
#include "libs/store/internal/log_chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::internal::DecodeChunk(bytes);
  uint64_t sum = Hash64(bytes);
  for (int i = 0; i < 8; ++i, sum >>= 8) bytes.push_back(static_cast<char>(sum));
  const auto records = store::internal::DecodeChunk(bytes);
  if (!records.ok()) return 0;
  // What was accepted encodes to records that decode the same.
  size_t seen = 0;
  for (const auto& chunk : store::internal::EncodeChunks(*records)) {
    const auto again = store::internal::DecodeChunk(chunk.bytes);
    if (!again.ok()) std::abort();
    for (const auto& record : *again) {
      const auto& original = (*records)[seen++];
      if (record.kind != original.kind || record.key != original.key || record.data != original.data) std::abort();
    }
  }
  if (seen != records->size()) std::abort();
  return 0;
}
