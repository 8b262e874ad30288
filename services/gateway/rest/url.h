#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace alcove::gateway {

// The bytes `text` stands for: %XX decoded, and '+' as a space when `plus_is_space`. With `keep_slashes`, %2F stays as
// it is, so that a decoded multi-segment path keeps its structure. nullopt for a malformed escape.
std::optional<std::string> DecodePercent(std::string_view text, bool plus_is_space = false, bool keep_slashes = false);

// Encodes everything but the unreserved characters of RFC 3986: fit for one path segment or one query value.
std::string EncodePercent(std::string_view text);

using QueryParameters = std::vector<std::pair<std::string, std::string>>;

// Splits "a=1&b=2" in order and decodes names and values. INVALID_ARGUMENT for a malformed escape, bytes that are not
// UTF-8, or more than kMaxQueryParameters.
absl::StatusOr<QueryParameters> ParseQuery(std::string_view query);

inline constexpr size_t kMaxQueryParameters = 1000;

}  // namespace alcove::gateway
