#include "services/gateway/rest/short_decimal.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::gateway {
namespace {

std::optional<float> Read(std::string text) {
  const size_t size = text.size();
  text += "56789012";  // must not be taken for digits of it
  return ReadShortDecimal(std::string_view(text).substr(0, size));
}

bool Same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST(ShortDecimalTest, ReadsWhatIsPrintedAsTheNearestFloat) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> spread;
  char text[64];
  int read = 0;
  constexpr int kNumbers = 200'000;
  for (int i = 0; i < kNumbers; ++i) {
    const double value = spread(random) * std::pow(10.0, static_cast<int>(random() % 9) - 4);
    const int style = static_cast<int>(random() % 4);
    if (style == 0) {
      std::snprintf(text, sizeof text, "%.17g", value);
    } else if (style == 1) {
      std::snprintf(text, sizeof text, "%.17g", static_cast<double>(static_cast<float>(value)));
    } else {
      std::snprintf(text, sizeof text, "%.*f", static_cast<int>(random() % 22), value);
    }
    const auto got = Read(text);
    if (!got.has_value()) continue;
    ++read;
    ASSERT_TRUE(Same(*got, std::strtof(text, nullptr))) << text;
  }
#if defined(__x86_64__)
  EXPECT_GT(read, kNumbers * 3 / 4);
#endif
}

#if defined(__x86_64__)
TEST(ShortDecimalTest, ReadsEveryCountOfDigitsUpToItsBounds) {
  const std::string many = "1234567891234567891";
  for (size_t whole = 0; whole <= 19; ++whole) {
    for (size_t places = 0; places <= 19; ++places) {
      for (const size_t zeros : {0, 1, 7, 8, 9, 12}) {
        std::string text = whole == 0 ? "0" : many.substr(0, whole);
        if (zeros + places > 0) text += "." + std::string(zeros, '0') + many.substr(0, places);
        const auto got = Read(text + " \n");
        if (std::max<size_t>(whole, 1) + zeros + places > 19) {
          EXPECT_FALSE(got.has_value()) << text;
        } else {
          ASSERT_TRUE(got.has_value()) << text;
          EXPECT_TRUE(Same(*got, std::strtof(text.c_str(), nullptr))) << text;
          EXPECT_TRUE(Same(*Read("-" + text), -*got)) << text;
        }
      }
    }
  }
  EXPECT_TRUE(Same(*Read("-0.0"), -0.0f));
}
#endif

TEST(ShortDecimalTest, LeavesATieOfTheFirstRoundingToOthers) {
  // Midway between two floats, exactly or to 64 bits.
  for (const char* text : {"16777217", "16777217.0", "16777217.0000000001", "1.000000059604644775"}) {
    const auto got = Read(text);
    EXPECT_TRUE(!got.has_value() || Same(*got, std::strtof(text, nullptr))) << text;
  }
}

TEST(ShortDecimalTest, GivesNothingForWhatIsNoNumberOrNotShort) {
  for (const char* text : {"",
                           "-",
                           "--1",
                           "+1",
                           ".5",
                           "-.5",
                           "1.",
                           "01",
                           "-01",
                           "00.5",
                           "1.5x",
                           "1 2",
                           "1e5",
                           "1.5E-3",
                           "1.e5",
                           "1_0",
                           "NaN",
                           "Infinity",
                           "0x10",
                           "1.2.3",
                           "\"1\"",
                           "null",
                           "12345678901234567890",
                           "1.1234567890123456789",
                           "9999999999999999999",
                           "0.0000000000000000001",
                           "12345678a",
                           "0.12345678a",
                           "0.1234567890123456:",
                           "0./2345678"}) {
    EXPECT_FALSE(Read(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace alcove::gateway
