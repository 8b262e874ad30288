// Fast hashing (XXH3) and hexadecimal. Not for secrets or signatures; the values are stable across machines and
// versions, so they may be stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <absl/strings/string_view.h>
#include <absl/types/span.h>

namespace alcove {

uint64_t Hash64(absl::string_view bytes, uint64_t seed = 0);

struct Digest128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Digest128&, const Digest128&) = default;
  friend auto operator<=>(const Digest128&, const Digest128&) = default;
  // 32 lower-case digits, high half first.
  std::string hex() const;
};
Digest128 Hash128(absl::string_view bytes, uint64_t seed = 0);

// Mixes two 64-bit hashes; order matters.
uint64_t HashCombine(uint64_t a, uint64_t b);

// Lower-case hexadecimal, two digits per byte.
std::string ToHex(absl::string_view bytes);
std::string ToHex(absl::Span<const uint8_t> bytes);
// The bytes of a hexadecimal text in either case; nullopt for an odd length or another character.
std::optional<std::string> FromHex(absl::string_view hex);

}  // namespace alcove
