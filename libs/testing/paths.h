#pragma once

#include <string>

namespace alcove::testing {

// Where this build's sources and outputs are: absolute paths without a trailing slash. Only the one file behind this
// header knows them, so that objects of the tests are the same in every checkout.
std::string SourceDir();
std::string BuildDir();

}  // namespace alcove::testing
