// Numbers of vectors as programs print them, read faster than any JSON number.
#pragma once

#include <optional>
#include <string_view>

namespace alcove::gateway {

// The float nearest to `token`: a JSON number without exponent and of at most 19 digits, followed by nothing but white
// space. Anything else gives nothing, and is for a parser of all numbers to read or to refuse. The eight bytes after
// the token are read, whatever they hold.
std::optional<float> ReadShortDecimal(std::string_view token);

}  // namespace alcove::gateway
