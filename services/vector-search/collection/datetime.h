// RFC 3339 times, as datetime fields hold them.
#pragma once

#include <cstdint>
#include <optional>

#include <absl/strings/string_view.h>

namespace alcove::vector_search {

// Microseconds since 1970 of "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.25+01:00"; finer fractions are cut. Years 1
// to 9999; a leap second counts as the second after it. nullopt for anything else, a date without a time included.
std::optional<int64_t> ParseRfc3339(absl::string_view text);

}  // namespace alcove::vector_search
