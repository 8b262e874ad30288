#include "libs/simd/quantize.h"

#include <cmath>
#include <random>
#include <utility>
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

std::vector<float> Direction(size_t n, uint32_t seed) {
  std::vector<float> out = Gaussian(n, seed);
  const float norm = std::sqrt(Dot(out, out));
  for (float& x : out) x /= norm;
  return out;
}

enum class Code { kU8, kU4, kRefined6, kRefined8, kSigns };

// The estimate of <q, x> from the codes of x.
float EstimateDot(const std::vector<float>& x, const std::vector<float>& q, Code code) {
  const size_t n = x.size();
  const Kernels& kernels = Best();
  std::vector<uint8_t> codes(n), rest(n);
  std::vector<int8_t> values(n);
  const uint32_t id = 0;
  int32_t sum = 0;
  if (code == Code::kSigns) {
    const float factor = EncodeSigns(x.data(), n, codes.data());
    const PlaneScale query = EncodePlanes(q.data(), n, rest.data());
    kernels.dot_u1_rows(rest.data(), n, codes.data(), n, &id, 1, &sum);
    return factor * query.scale * static_cast<float>(2 * sum - query.sum);
  }
  const Grid& grid = code == Code::kU8 ? kGridU8 : code == Code::kU4 ? kGridU4 : kGridU4Wide;
  const QueryScale query = EncodeQuery(q.data(), n, values.data());
  const auto query_sum = static_cast<float>(query.sum);
  if (code == Code::kU8) {
    EncodeU8(x.data(), n, grid, codes.data());
    kernels.dot_u8_rows(values.data(), n, codes.data(), n, &id, 1, &sum);
  } else {
    EncodeU4(x.data(), n, grid, codes.data());
    kernels.dot_u4_rows(values.data(), n, codes.data(), n, &id, 1, &sum);
  }
  float levels = static_cast<float>(sum) - grid.centre * query_sum;
  if (code == Code::kRefined6 || code == Code::kRefined8) {
    const int bits = code == Code::kRefined6 ? 2 : 4;
    EncodeRest(x.data(), n, grid, codes.data(), bits, rest.data());
    const auto kernel = bits == 2 ? kernels.dot_u2_rows : kernels.dot_u4_rows;
    kernel(values.data(), n, rest.data(), n, &id, 1, &sum);
    levels += RestFactor(bits) * (static_cast<float>(sum) - RestCentre(bits) * query_sum);
  }
  return query.scale * GridStep(grid, n) * levels;
}

TEST(Quantize, EstimatesInnerProductsWithinTheGridsError) {
  const struct {
    Code code;
    double error;  // relative error of a code; it shows in a cosine as error / sqrt(n)
  } cases[] = {
      {Code::kU8, 0.013}, {Code::kU4, 0.12}, {Code::kRefined6, 0.045}, {Code::kRefined8, 0.02}, {Code::kSigns, 0.80}};
  for (const size_t n : {128, 384}) {
    for (const auto& c : cases) {
      double error = 0, bias = 0;
      for (uint32_t i = 0; i < 100; ++i) {
        const auto x = Direction(n, i), q = Direction(n, i + 1000);
        const double off = EstimateDot(x, q, c.code) - Dot(x, q);
        error += off * off;
        bias += off;
      }
      EXPECT_LT(std::sqrt(error / 100), 1.25 * c.error / std::sqrt(n)) << static_cast<int>(c.code) << " " << n;
      EXPECT_LT(std::fabs(bias / 100), 0.4 * c.error / std::sqrt(n)) << static_cast<int>(c.code) << " " << n;
    }
  }
}

TEST(Quantize, EstimatesAVectorWithItselfExactly) {
  for (const size_t n : {64, 128, 384}) {
    for (uint32_t i = 0; i < 20; ++i) {
      const auto x = Direction(n, i);
      // All vectors share one step, so this is what keeps vectors comparable with one another.
      EXPECT_NEAR(EstimateDot(x, x, Code::kU4), 1, 0.007) << n;
      EXPECT_NEAR(EstimateDot(x, x, Code::kU8), 1, 0.005) << n;
      EXPECT_NEAR(EstimateDot(x, x, Code::kSigns), 1, 0.05) << n;
    }
  }
  // Also where all coordinates are equally far from a border of the grid.
  const std::vector<float> even(64, 0.125f);
  EXPECT_NEAR(EstimateDot(even, even, Code::kU4), 1, 0.01);
}

TEST(Quantize, KnowsTheErrorOfOneBitCodes) {
  const size_t n = 256;
  int beyond = 0;
  for (uint32_t i = 0; i < 400; ++i) {
    const auto x = Direction(n, i), q = Direction(n, i + 1000);
    std::vector<uint8_t> bits(n / 8);
    const float deviation = SignError(EncodeSigns(x.data(), n, bits.data()), n);
    EXPECT_NEAR(deviation, 0.755 / std::sqrt(n), 0.01);
    beyond += std::fabs(EstimateDot(x, q, Code::kSigns) - Dot(x, q)) > 2 * deviation;
  }
  EXPECT_LT(beyond, 400 * 0.09);  // a normal distribution puts 4.6 % beyond two deviations
  EXPECT_GT(beyond, 0);
}

TEST(Quantize, DecodesNearTheOriginal) {
  const size_t n = 128;
  const auto x = Direction(n, 3);
  std::vector<uint8_t> codes(n), rest(n);
  std::vector<float> back(n);
  const auto error = [&] {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (back[i] - x[i]) * (back[i] - x[i]);
    return std::sqrt(sum);
  };
  EncodeU8(x.data(), n, kGridU8, codes.data());
  DecodeU8(codes.data(), n, kGridU8, back.data());
  EXPECT_LT(error(), 0.014);
  EncodeU4(x.data(), n, kGridU4, codes.data());
  DecodeU4(codes.data(), n, kGridU4, back.data());
  EXPECT_LT(error(), 0.14);
  EncodeU4(x.data(), n, kGridU4Wide, codes.data());
  for (const auto& [bits, most] : {std::pair{2, 0.06}, std::pair{4, 0.03}}) {
    DecodeU4(codes.data(), n, kGridU4Wide, back.data());
    EncodeRest(x.data(), n, kGridU4Wide, codes.data(), bits, rest.data());
    AddRest(rest.data(), n, kGridU4Wide, bits, back.data());
    EXPECT_LT(error(), most) << bits;
  }
}

TEST(Quantize, TakesAZeroVector) {
  const std::vector<float> zero(64), q = Direction(64, 1);
  for (Code code : {Code::kU8, Code::kU4, Code::kRefined6, Code::kRefined8, Code::kSigns}) {
    EXPECT_NEAR(EstimateDot(zero, q, code), 0, 0.2) << static_cast<int>(code);
    EXPECT_TRUE(std::isfinite(EstimateDot(q, zero, code)));
  }
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
