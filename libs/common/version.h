// The version of the suite. CMake reads it from here too.
#pragma once

namespace alcove {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace alcove
