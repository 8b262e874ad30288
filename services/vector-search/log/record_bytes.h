#pragma once

// Writing and bounded reading of the small pieces a record is made of. Integers are LEB128 varints, at most 64 bits;
// floats are IEEE 754 binary32, little-endian, which every machine Alcove runs on also has in memory.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace alcove::vector_search {

static_assert(std::endian::native == std::endian::little, "records hold floats as they lie in memory");

inline void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline void PutString(absl::string_view text, std::string* out) {
  PutVarint(text.size(), out);
  out->append(text.data(), text.size());
}

// Reads from the front; each call answers false, having taken an undefined part, when the bytes do not fit.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }

  bool Byte(uint8_t* value) {
    if (rest_.empty()) return false;
    *value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return true;
  }

  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      if (!Byte(&byte) || (shift == 63 && byte > 1)) return false;
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  // A number of things of at least `smallest` bytes each: what follows must be able to hold them, so that a damaged
  // count never makes the reader reserve more memory than the record has bytes.
  bool Count(uint64_t max, uint64_t smallest, uint64_t* count) {
    return Varint(count) && *count <= max && *count <= rest_.size() / smallest;
  }

  bool Bytes(size_t size, absl::string_view* out) {
    if (size > rest_.size()) return false;
    *out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  bool String(size_t max, absl::string_view* out) {
    uint64_t size = 0;
    return Varint(&size) && size <= max && Bytes(size, out);
  }

 private:
  absl::string_view rest_;
};

}  // namespace alcove::vector_search
