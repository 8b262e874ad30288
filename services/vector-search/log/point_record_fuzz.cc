// The decoder must survive any bytes, and what it accepts must encode and decode to the same again.
// The first byte of the input chooses the log record's kind.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "services/vector-search/log/point_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::vector_search;
  if (size == 0) return 0;
  const auto kind = static_cast<alcove::store::RecordKind>(1 + data[0] % 3);
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto op = DecodeOperation(kind, "id", bytes);
  if (!op.ok()) return 0;
  const auto encoded = EncodeOperation(*op);
  if (!encoded.ok() || encoded->kind != kind) std::abort();
  const auto again = DecodeOperation(kind, "id", encoded->data);
  if (!again.ok() || again->payload != op->payload || again->version != op->version ||
      again->dense.size() != op->dense.size() || again->sparse.size() != op->sparse.size()) {
    std::abort();
  }
  return 0;
}
