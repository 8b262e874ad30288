#include "services/vector-search/collection/datetime.h"

#include <gtest/gtest.h>

namespace alcove::vector_search {
namespace {

TEST(Rfc3339, ReadsTimesWithZonesAndFractions) {
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00.000001Z"), 1);
  EXPECT_EQ(ParseRfc3339("1970-01-01T01:00:00+01:00"), 0);
  EXPECT_EQ(ParseRfc3339("1969-12-31T23:59:59.5Z"), -500'000);
  EXPECT_EQ(ParseRfc3339("2024-02-29t12:34:56.789123456z"), 1709210096789123);
  EXPECT_EQ(ParseRfc3339("2016-12-31T23:59:60Z"), ParseRfc3339("2017-01-01T00:00:00Z"));
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2024", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00Zx", "0000-01-01T00:00:00Z",
        "2024-13-01T00:00:00Z", "2024-01-01T00:00:00+1:00", "2024-01-01T00:60:00Z"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace alcove::vector_search
