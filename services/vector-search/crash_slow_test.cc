// The crash test at length.
#include <gtest/gtest.h>

#include "services/vector-search/crash_for_test.h"

namespace alcove::vector_search {
namespace {

TEST(TwoProcesses, KilledAtRandomTwoHundredTimesLoseNothingAcknowledged) { RunCrashRounds(200, 2); }

}  // namespace
}  // namespace alcove::vector_search
