#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace alcove::net {

// Debian's Abseil has a string_view of its own; these cross over without copying.
inline absl::string_view AbslView(std::string_view s) { return absl::string_view(s.data(), s.size()); }
inline std::string_view StdView(absl::string_view s) { return std::string_view(s.data(), s.size()); }

}  // namespace alcove::net
