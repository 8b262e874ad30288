#include "libs/fhe/client/sampler.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "libs/fhe/client/binomial.h"

namespace alcove::fhe {
namespace {

TEST(SamplerTest, ErrorsAreCentredBinomial) {
  const std::vector<int8_t> e = SampleError(1 << 16);
  double sum = 0, squares = 0;
  for (int8_t v : e) {
    ASSERT_LE(std::abs(v), 21);
    sum += v;
    squares += double{1} * v * v;
  }
  // Five deviations of the estimates.
  EXPECT_LT(std::abs(sum / (1 << 16)), 5 * std::sqrt(10.5 / (1 << 16)));
  EXPECT_NEAR(squares / (1 << 16), 10.5, 0.3);
  EXPECT_NE(e, SampleError(1 << 16));
}

TEST(SamplerTest, SecretsAreUniformTernary) {
  const std::vector<int8_t> s = SampleTernary(30000);
  for (int8_t v : {-1, 0, 1}) EXPECT_NEAR(std::count(s.begin(), s.end(), v), 10000, 450);
}

TEST(SamplerTest, TheVectorCountEqualsThePortableOne) {
  if (!HasVectorPopcount()) GTEST_SKIP() << "no AVX-512 VPOPCNTDQ";
  std::vector<uint64_t> words(512);
  uint64_t x = 88172645463325252;
  for (uint64_t& w : words) w = x = x * 6364136223846793005 + 1442695040888963407;
  words[0] = 0;
  words[1] = ~uint64_t{0};
  words[2] = (1 << 21) - 1;
  words[3] = ~words[2];
  std::vector<int8_t> a(512), b(512);
  CentredBinomialScalar(words.data(), a.data(), 512);
  CentredBinomialAvx512(words.data(), b.data(), 512);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace alcove::fhe
