// Feeds bytes to the reader of an encoded collection's file. The checksum is put right first, or nothing would get past
// it.

#include <cstdint>
#include <cstdlib>

#include "libs/fhe/params/modulus.h"
#include "libs/fhe/random/blake2b.h"
#include "libs/fhe/search/database.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::fhe;
  static const auto context = *Context::Create({Scheme::kBfv, 2048, *CreatePrimes(2048, {25, 29}), 17});
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size >= 112) {
    uint8_t digest[32];
    Blake2b(absl::MakeConstSpan(data, size - 32), absl::MakeSpan(digest));
    bytes.replace(size - 32, 32, reinterpret_cast<const char*>(digest), 32);
    // The right parameters, too.
    bytes.replace(16, 32, reinterpret_cast<const char*>(context->key_id().data()), 32);
    Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), size - 32), absl::MakeSpan(digest));
    bytes.replace(size - 32, 32, reinterpret_cast<const char*>(digest), 32);
  }
  const auto database = Database::Parse(context, bytes);
  if (database.ok() && *(*database)->Serialise() != bytes) std::abort();
  return 0;
}
