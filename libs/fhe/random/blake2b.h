// BLAKE2b (RFC 7693) with the parameter block exposed, which BLAKE2Xb needs and libcrypto does not offer.
#pragma once

#include <cstdint>
#include <string>

#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove::fhe {

// The compression function F (RFC 7693, section 3.2): eight chaining words and a block of 128 bytes; `count` bytes of
// the message are behind it, this block's included.
void Blake2bCompress(uint64_t* state8, const uint8_t* block128, uint64_t count, bool last);

// Incremental hash. Not thread safe; cheap to copy.
class Blake2bHasher {
 public:
  // digest_bytes in 1 … 64; unkeyed, sequential mode.
  explicit Blake2bHasher(size_t digest_bytes);

  void Update(absl::Span<const uint8_t> bytes);
  void Update(absl::string_view bytes);
  // Writes digest_bytes; the hasher must not be used afterwards.
  void Finish(absl::Span<uint8_t> digest);

 private:
  uint64_t state_[8];
  uint64_t count_ = 0;  // bytes hashed; objects here never reach 2^64
  uint8_t buffer_[128];
  size_t buffered_ = 0;
  size_t digest_bytes_;
};

// digest.size() in 1 … 64 selects the digest length.
void Blake2b(absl::Span<const uint8_t> message, absl::Span<uint8_t> digest);

// Lower-case hexadecimal BLAKE2b-256.
std::string Blake2bHex(absl::string_view message);

}  // namespace alcove::fhe
