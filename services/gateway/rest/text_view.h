#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace alcove::gateway {

// Abseil is built here with a string_view of its own; these two cross the border without copying.
inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace alcove::gateway
