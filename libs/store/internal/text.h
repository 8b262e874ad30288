#pragma once

// Checks of texts before they reach a statement, and page tokens.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/store/types.h"

namespace alcove::store::internal {

bool IsUtf8(absl::string_view text);

// INVALID_ARGUMENT naming `field` unless `text` is min..max bytes of UTF-8 without control characters.
absl::Status CheckName(absl::string_view field, absl::string_view text, size_t min_bytes = 1, size_t max_bytes = 255);
// The same for free text: line breaks and tabs are allowed.
absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes);

// `listing` names the kind of listing; the token only fits the same one. `last` is the key of the last row given.
std::string MakePageToken(absl::string_view listing, absl::string_view last);
// The key after which to go on; empty for an empty token. INVALID_ARGUMENT for a token of something else.
absl::StatusOr<std::string> ReadPageToken(absl::string_view listing, absl::string_view token);
// The same for integer keys; `start` for an empty token.
absl::StatusOr<int64_t> ReadPageNumber(absl::string_view listing, absl::string_view token, int64_t start);
// INVALID_ARGUMENT unless 0..1000; 0 becomes 100.
absl::StatusOr<int64_t> PageSize(const PageRequest& page);

// Times as tables hold them: microseconds since 1970, rounded down.
inline int64_t ToMicros(absl::Time t) { return absl::ToUnixMicros(t); }
inline absl::Time FromMicros(int64_t us) { return absl::FromUnixMicros(us); }

}  // namespace alcove::store::internal
