#include "libs/testing/paths.h"

namespace alcove::testing {

std::string SourceDir() { return ALCOVE_SOURCE_DIR; }
std::string BuildDir() { return ALCOVE_BINARY_DIR; }

}  // namespace alcove::testing
