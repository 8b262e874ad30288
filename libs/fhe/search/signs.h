// A sign for every coefficient of a block: the rows that stand at negative ones are encoded negated, and whoever reads
// a reply negates their scores back.
//
// Why: all key switches of a doubling share the key's error polynomial, and all roundings share the secret key, so the
// noise of a reply is a sum of products with a few fixed polynomials. Rows that resemble each other (numbers that are
// mostly positive, text padded with zeros) make plaintext polynomials whose energy stands in one or two of N/2
// frequencies, and a reply's noise then hangs on what those polynomials happen to be at just these. Signs that were
// drawn before there were rows spread the energy over all frequencies, which is what the bound of search/noise.h
// assumes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace alcove::fhe {

// An immutable value; default-made: every sign is plus.
class SignPattern {
 public:
  SignPattern() = default;
  // `degree` signs, the same for the same seed: BLAKE2b of seed and a counter. degree a multiple of 512.
  static SignPattern FromSeed(absl::string_view seed, size_t degree);
  // As bytes() gave them; empty bytes are the default pattern. INVALID_ARGUMENT for another length than degree / 8.
  static absl::StatusOr<SignPattern> FromBytes(absl::string_view bytes, size_t degree);

  // One bit a coefficient: bit i % 8 of byte i / 8, set where the sign is minus.
  const std::string& bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  bool Negative(size_t coefficient) const {
    return !bytes_.empty() && (static_cast<uint8_t>(bytes_[coefficient / 8]) >> (coefficient % 8) & 1) != 0;
  }

  friend bool operator==(const SignPattern&, const SignPattern&) = default;

 private:
  explicit SignPattern(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

}  // namespace alcove::fhe
