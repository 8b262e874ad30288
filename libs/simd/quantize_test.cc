#include "libs/simd/quantize.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "libs/simd/kernels.h"
#include "libs/simd/rotation.h"

namespace alcove::simd {
namespace {

std::vector<float> Gaussian(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

float Dot(const std::vector<float>& a, const std::vector<float>& b) {
  return For(InstructionSet::kScalar)->dot_f32(a.data(), b.data(), a.size());
}

struct Estimate {
  float dot, self;
};

Estimate EstimateDot(const std::vector<float>& x, const std::vector<float>& q, bool four_bits) {
  const size_t n = x.size();
  std::vector<uint8_t> codes(n);
  const float scale = four_bits ? EncodeU4(x.data(), n, codes.data()) : EncodeU8(x.data(), n, codes.data());
  const auto with = [&](const std::vector<float>& v) {
    std::vector<int8_t> values(n);
    const QueryScale query = EncodeQuery(v.data(), n, values.data());
    const uint32_t id = 0;
    int32_t sum = 0;
    const auto kernel = four_bits ? Best().dot_u4_rows : Best().dot_u8_rows;
    kernel(values.data(), n, codes.data(), n, &id, 1, &sum);
    const float centre = four_bits ? kU4Centre : kU8Centre;
    return query.scale * scale * (static_cast<float>(sum) - centre * static_cast<float>(query.sum));
  };
  return {with(q), with(x)};
}

TEST(Quantize, EstimatesInnerProductsWithinTheGridsError) {
  const size_t n = 384;
  double error8 = 0, error4 = 0;
  for (uint32_t i = 0; i < 50; ++i) {
    const auto x = Gaussian(n, i), q = Gaussian(n, i + 1000);
    const float norms = std::sqrt(Dot(x, x) * Dot(q, q));
    const Estimate e8 = EstimateDot(x, q, false), e4 = EstimateDot(x, q, true);
    error8 += std::pow((e8.dot - Dot(x, q)) / norms, 2);
    error4 += std::pow((e4.dot - Dot(x, q)) / norms, 2);
    EXPECT_NEAR(e8.self / Dot(x, x), 1, 0.002);
    EXPECT_NEAR(e4.self / Dot(x, x), 1, 0.004);
  }
  // A relative code error r shows in the cosine as r / sqrt(n): about 0.008 for 8 bits and 0.11 for 4.
  EXPECT_LT(std::sqrt(error8 / 50), 0.012 / std::sqrt(n) * 1.5);
  EXPECT_LT(std::sqrt(error4 / 50), 0.11 / std::sqrt(n) * 1.3);
}

TEST(Quantize, DecodesNearTheOriginal) {
  const size_t n = 128;
  const auto x = Gaussian(n, 3);
  std::vector<uint8_t> codes(n);
  std::vector<float> back(n);
  DecodeU8(codes.data(), EncodeU8(x.data(), n, codes.data()), n, back.data());
  for (size_t i = 0; i < n; ++i) EXPECT_NEAR(back[i], x[i], 0.02);
  DecodeU4(codes.data(), EncodeU4(x.data(), n, codes.data()), n, back.data());
  double error = 0;
  for (size_t i = 0; i < n; ++i) error += (back[i] - x[i]) * (back[i] - x[i]);
  EXPECT_LT(error / n, 0.02);
}

TEST(Quantize, GivesAZeroVectorScaleZero) {
  const std::vector<float> zero(64);
  std::vector<uint8_t> codes(64);
  EXPECT_EQ(EncodeU8(zero.data(), 64, codes.data()), 0);
  EXPECT_EQ(EncodeU4(zero.data(), 64, codes.data()), 0);
  std::vector<int8_t> values(64);
  EXPECT_EQ(EncodeQuery(zero.data(), 64, values.data()).sum, 0);
}

TEST(Rotation, KeepsLengthsAndInnerProducts) {
  for (size_t dim : {1, 3, 64, 100, 128, 384, 768, 1000}) {
    const Rotation rotation(dim, 42);
    const auto a = Gaussian(dim, 1), b = Gaussian(dim, 2);
    std::vector<float> ra(rotation.padded()), rb(rotation.padded());
    rotation.Apply(a.data(), ra.data());
    rotation.Apply(b.data(), rb.data());
    EXPECT_NEAR(Dot(ra, rb), Dot(a, b), 1e-3 * dim);
    EXPECT_NEAR(Dot(ra, ra) / Dot(a, a), 1, 1e-4);
    std::vector<float> back(dim);
    rotation.ApplyInverse(ra.data(), back.data());
    for (size_t i = 0; i < dim; ++i) EXPECT_NEAR(back[i], a[i], 1e-4) << dim;
  }
}

TEST(Rotation, SpreadsASpikeOverAllDimensions) {
  const Rotation rotation(384, 1);
  std::vector<float> spike(384), out(384);
  spike[5] = 1;
  rotation.Apply(spike.data(), out.data());
  for (float x : out) EXPECT_LT(std::fabs(x), 0.35f);
}

}  // namespace
}  // namespace alcove::simd
