// Bytes that pass validation can be walked, selected from and merged; bytes that do not are refused without reading
// past their end.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "services/vector-search/collection/payload.h"
#include "services/vector-search/collection/schema.h"

namespace {

size_t Walk(alcove::vector_search::ValueView value) {
  using alcove::vector_search::ValueKind;
  switch (value.kind()) {
    case ValueKind::kInteger: return static_cast<size_t>(value.integer());
    case ValueKind::kDouble: return value.number() > 0;
    case ValueKind::kString: return value.string().size();
    case ValueKind::kList: {
      size_t n = 0;
      for (auto it = value.list(); !it.done(); it.Next()) n += Walk(it.value());
      return n;
    }
    case ValueKind::kObject: {
      size_t n = 0;
      for (auto it = value.object(); !it.done(); it.Next()) n += it.key().size() + Walk(it.value());
      return n;
    }
    default: return 1;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::vector_search;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)DecodeConfig(bytes);
  if (!ValidatePayload(bytes).ok()) return 0;
  volatile size_t sum = 0;
  for (ObjectView it = PayloadObject(bytes); !it.done(); it.Next()) sum = sum + it.key().size() + Walk(it.value());
  (void)FindPath(bytes, "a.b.c");
  if (!ValidatePayload(SelectPayload(bytes, {.exclude = {"a"}})).ok()) std::abort();
  const auto merged = MergePayload(bytes, bytes);
  if (merged.ok() && !bytes.empty() && *merged != bytes) std::abort();
  return 0;
}
