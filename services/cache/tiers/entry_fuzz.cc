#include <cstdint>
#include <cstdlib>

#include "services/cache/redis/invalidation_bus.h"
#include "services/cache/tiers/entry.h"

// What Redis returns is outside bytes: reading them never crashes, and what is read is written back the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto entry = alcove::cache::DecodeEntry(bytes);
  if (entry.ok() && alcove::cache::EncodeEntry(*entry) != bytes) std::abort();
  const auto message = alcove::cache::DecodeInvalidation(bytes);
  if (message.ok() && message->invalidation.name.size() > bytes.size()) std::abort();
  return 0;
}
