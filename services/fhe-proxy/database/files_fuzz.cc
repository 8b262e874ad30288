// Bytes from disk and from clients: row snapshots, classifiers, runs of SEAL objects. The first byte chooses; checksums
// are made right, so that mutations get past them.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/fhe/random/blake2b.h"
#include "services/fhe-proxy/classify/classifier.h"
#include "services/fhe-proxy/database/snapshot.h"
#include "services/fhe-proxy/search/objects.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: {
      const auto objects = alcove::fhe_proxy::SplitObjects(bytes, 16);
      if (!objects.ok()) return 0;
      size_t total = 0;
      for (const auto& object : *objects) total += object.size();
      if (total != bytes.size()) __builtin_trap();
      break;
    }
    case 1: {
      bytes += alcove::fhe::Blake2bHex(bytes);
      const auto read = alcove::fhe_proxy::DecodeRowSnapshot(bytes);
      if (!read.ok()) return 0;
      // What was accepted writes back to the same bytes, or in the newer form to what reads back.
      const std::string again = alcove::fhe_proxy::EncodeRowSnapshot(*read);
      const bool older = bytes.starts_with("ALCPSR1");
      if (older ? !alcove::fhe_proxy::DecodeRowSnapshot(again).ok() : again != bytes) __builtin_trap();
      break;
    }
    default: {
      bytes += alcove::fhe::Blake2bHex(bytes);
      const auto read = alcove::fhe_proxy::DecodeClassifier(bytes);
      if (!read.ok()) return 0;
      if (alcove::fhe_proxy::EncodeClassifier(read->tenant, read->classifier) != bytes) __builtin_trap();
    }
  }
  return 0;
}
