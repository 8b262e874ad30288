#include "libs/fhe/search/signs.h"

#include <absl/strings/str_cat.h>
#include <absl/types/span.h>

#include "libs/fhe/random/blake2b.h"

namespace alcove::fhe {

SignPattern SignPattern::FromSeed(absl::string_view seed, size_t degree) {
  constexpr size_t kDigest = 64;
  std::string bytes(degree / 8, '\0');
  for (size_t at = 0; at + kDigest <= bytes.size(); at += kDigest) {
    const std::string input = absl::StrCat("alcove row signs ", at / kDigest, " ", seed);
    Blake2b(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(input.data()), input.size()),
            absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()) + at, kDigest));
  }
  return SignPattern(std::move(bytes));
}

absl::StatusOr<SignPattern> SignPattern::FromBytes(absl::string_view bytes, size_t degree) {
  if (!bytes.empty() && bytes.size() != degree / 8) {
    return absl::InvalidArgumentError(absl::StrCat(bytes.size(), " bytes of signs for ", degree, " coefficients"));
  }
  return SignPattern(std::string(bytes));
}

}  // namespace alcove::fhe
