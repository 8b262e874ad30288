#include "libs/fhe/client/sampler.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "libs/fhe/client/binomial.h"
#include "libs/fhe/poly/isa.h"

namespace alcove::fhe {
namespace {

TEST(SamplerTest, ErrorsAreCentredBinomial) {
  std::vector<int8_t> e(1 << 16), other(1 << 16);
  SampleError(absl::MakeSpan(e));
  SampleError(absl::MakeSpan(other));
  double sum = 0, squares = 0;
  for (int8_t v : e) {
    ASSERT_LE(std::abs(v), 21);
    sum += v;
    squares += double{1} * v * v;
  }
  // Five deviations of the estimates.
  EXPECT_LT(std::abs(sum / (1 << 16)), 5 * std::sqrt(10.5 / (1 << 16)));
  EXPECT_NEAR(squares / (1 << 16), 10.5, 0.3);
  EXPECT_NE(e, other);
}

TEST(SamplerTest, SecretsAreUniformTernary) {
  const std::vector<int8_t> s = SampleTernary(30000);
  for (int8_t v : {-1, 0, 1}) EXPECT_NEAR(std::count(s.begin(), s.end(), v), 10000, 450);
}

TEST(SamplerTest, TheVectorCountsEqualThePortableOne) {
  std::vector<uint8_t> bytes(512 * kBinomialBytes + kBinomialSlack);
  std::mt19937 rng(1);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng());
  // All tails, all heads, both.
  std::fill_n(bytes.begin(), 6, 0);
  const uint8_t heads[6] = {0xff, 0xff, 0x1f, 0, 0, 0}, tails[6] = {0, 0, 0xe0, 0xff, 0xff, 0x03};
  std::copy_n(heads, 6, bytes.begin() + 6);
  std::copy_n(tails, 6, bytes.begin() + 12);
  std::vector<int8_t> a(512), b(512);
  CentredBinomialScalar(bytes.data(), a.data(), 512);
  EXPECT_EQ(a[0], 0);
  EXPECT_EQ(a[1], 21);
  EXPECT_EQ(a[2], -21);
  if (BestIsa() >= Isa::kAvx2) {
    CentredBinomialAvx2(bytes.data(), b.data(), 512);
    EXPECT_EQ(a, b);
  }
  if (HasVectorPopcount()) {
    CentredBinomialAvx512(bytes.data(), b.data(), 512);
    EXPECT_EQ(a, b);
  }
}

}  // namespace
}  // namespace alcove::fhe
