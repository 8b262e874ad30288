#include "libs/simd/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace alcove::simd {
namespace {

const Kernels& Scalar() { return *For(InstructionSet::kScalar); }

class EachInstructionSet : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    set_ = For(GetParam());
    if (set_ == nullptr) GTEST_SKIP() << "this processor cannot run it";
  }
  const Kernels* set_ = nullptr;
  std::mt19937 random_{7};
  std::vector<float> Floats(size_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> out(n);
    for (float& x : out) x = normal(random_);
    return out;
  }
  std::vector<uint8_t> Bytes(size_t n) {
    std::vector<uint8_t> out(n);
    for (uint8_t& x : out) x = static_cast<uint8_t>(random_());
    return out;
  }
  std::vector<int8_t> Query(size_t n) {
    std::vector<int8_t> out(n);
    for (int8_t& x : out) x = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
    return out;
  }
};

TEST_P(EachInstructionSet, AgreesWithScalarOnFloatDistances) {
  for (size_t n : {1, 3, 15, 16, 17, 31, 64, 100, 128, 384, 769}) {
    const auto a = Floats(n), b = Floats(n);
    std::vector<uint16_t> half(n), brain(n);
    Scalar().f32_to_f16(b.data(), half.data(), n);
    Scalar().f32_to_bf16(b.data(), brain.data(), n);
    double magnitude = 0;
    for (size_t i = 0; i < n; ++i) magnitude += std::fabs(a[i] * b[i]) + (a[i] - b[i]) * (a[i] - b[i]);
    const double tolerance = magnitude * 1e-6 * std::sqrt(n);
    EXPECT_NEAR(set_->dot_f32(a.data(), b.data(), n), Scalar().dot_f32(a.data(), b.data(), n), tolerance) << n;
    EXPECT_NEAR(set_->l2_f32(a.data(), b.data(), n), Scalar().l2_f32(a.data(), b.data(), n), tolerance) << n;
    EXPECT_NEAR(set_->dot_f16(a.data(), half.data(), n), Scalar().dot_f16(a.data(), half.data(), n), tolerance) << n;
    EXPECT_NEAR(set_->dot_bf16(a.data(), brain.data(), n), Scalar().dot_bf16(a.data(), brain.data(), n), tolerance)
        << n;
  }
}

TEST_P(EachInstructionSet, FindsTheSamePositionsBelowAThreshold) {
  for (size_t n : {0, 1, 5, 16, 17, 40, 255}) {
    const auto values = Floats(n);
    std::vector<uint32_t> want(n + 16), got(n + 16);
    for (float threshold : {-10.0f, -0.3f, 0.0f, 10.0f}) {
      const size_t count = Scalar().below_f32(values.data(), n, threshold, want.data());
      ASSERT_EQ(set_->below_f32(values.data(), n, threshold, got.data()), count) << n;
      EXPECT_TRUE(std::equal(want.begin(), want.begin() + static_cast<ptrdiff_t>(count), got.begin())) << n;
    }
  }
}

TEST_P(EachInstructionSet, KeepsTheSmallestKeysInOrder) {
  for (size_t capacity : {1, 2, 15, 16, 17, 64, 100}) {
    std::vector<float> keys(capacity + 1), want_keys(capacity + 1);
    std::vector<uint32_t> values(capacity + 1), want_values(capacity + 1);
    size_t size = 0;
    for (uint32_t i = 0; i < 3 * capacity; ++i) {
      // Few different keys: equal ones stay in the order they came.
      const float key = static_cast<float>(random_() % 20);
      const size_t place = Scalar().insert_sorted(want_keys.data(), want_values.data(), size, capacity, key, i);
      ASSERT_EQ(set_->insert_sorted(keys.data(), values.data(), size, capacity, key, i), place);
      if (size < capacity) ++size;
      for (size_t j = 0; j < size; ++j) {
        ASSERT_EQ(keys[j], want_keys[j]) << capacity << " " << j;
        ASSERT_EQ(values[j], want_values[j]) << capacity << " " << j;
      }
      ASSERT_TRUE(std::is_sorted(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(size)));
    }
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnEightBitCodes) {
  for (size_t n : {1, 5, 31, 32, 33, 63, 64, 65, 100, 128, 384, 768, 1000}) {
    const size_t stride = n + 3;
    const auto codes = Bytes(stride * 11);
    const auto query = Query(n);
    for (size_t count : {0, 1, 3, 4, 5, 8, 11}) {
      std::vector<uint32_t> ids(count);
      for (uint32_t& id : ids) id = random_() % 11;
      std::vector<int32_t> want(count + 1, 77), got(count + 1, 77);
      Scalar().dot_u8_rows(query.data(), n, codes.data(), stride, ids.data(), count, want.data());
      set_->dot_u8_rows(query.data(), n, codes.data(), stride, ids.data(), count, got.data());
      EXPECT_EQ(got, want) << n << " " << count;
    }
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnTheLargestEightBitSums) {
  const size_t n = 65536;
  const std::vector<uint8_t> codes(n, 255);
  for (int8_t value : {int8_t{127}, int8_t{-127}}) {
    const std::vector<int8_t> query(n, value);
    const uint32_t id = 0;
    int32_t sum = 0;
    set_->dot_u8_rows(query.data(), n, codes.data(), n, &id, 1, &sum);
    EXPECT_EQ(sum, 65536 * 255 * value);
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnFourBitCodes) {
  for (size_t n : {64, 128, 192, 256, 320, 384, 512, 768, 1024}) {
    const size_t stride = n / 2 + 32;
    auto codes = Bytes(stride * 9);
    std::fill(codes.begin(), codes.begin() + stride, 0xff);
    auto query = Query(n);
    std::fill_n(query.begin(), n / 2, 127);
    for (size_t count : {0, 1, 3, 4, 7, 8, 9}) {
      std::vector<uint32_t> ids(count);
      for (uint32_t i = 0; i < count; ++i) ids[i] = (i * 5) % 9;
      std::vector<int32_t> want(count + 1, 77), got(count + 1, 77);
      Scalar().dot_u4_rows(query.data(), n, codes.data(), stride, ids.data(), count, want.data());
      set_->dot_u4_rows(query.data(), n, codes.data(), stride, ids.data(), count, got.data());
      EXPECT_EQ(got, want) << n << " " << count;
    }
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnTwoBitCodes) {
  for (size_t n : {64, 128, 192, 256, 384, 512, 768}) {
    const size_t stride = n / 4 + 8;
    auto codes = Bytes(stride * 9);
    std::fill(codes.begin(), codes.begin() + static_cast<ptrdiff_t>(stride), uint8_t{0xff});
    auto query = Query(n);
    std::fill_n(query.begin(), n / 2, int8_t{127});
    for (size_t count : {0, 1, 3, 4, 7, 9}) {
      std::vector<uint32_t> ids(count);
      for (uint32_t i = 0; i < count; ++i) ids[i] = (i * 5) % 9;
      std::vector<int32_t> want(count + 1, 77), got(count + 1, 77);
      Scalar().dot_u2_rows(query.data(), n, codes.data(), stride, ids.data(), count, want.data());
      set_->dot_u2_rows(query.data(), n, codes.data(), stride, ids.data(), count, got.data());
      EXPECT_EQ(got, want) << n << " " << count;
    }
  }
}

TEST_P(EachInstructionSet, RoundsToTheSameGrid) {
  for (size_t n : {1, 16, 17, 64, 384}) {
    const auto x = Floats(n);
    std::vector<uint8_t> want(n), got(n);
    Scalar().grid_round(x.data(), 2.7f, 7.5f, 0, 15, want.data(), n);
    set_->grid_round(x.data(), 2.7f, 7.5f, 0, 15, got.data(), n);
    EXPECT_EQ(got, want);
    const float dot = Scalar().grid_dot(x.data(), 2.7f, 7.5f, 0, 15, n);
    EXPECT_NEAR(set_->grid_dot(x.data(), 2.7f, 7.5f, 0, 15, n), dot, 1e-5f * static_cast<float>(n));
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnOneBitCodes) {
  for (size_t n : {64, 128, 384, 512, 640, 1088}) {
    const size_t stride = n / 8;
    const auto codes = Bytes(stride * 5);
    const auto planes = Bytes(n / 8 * 4);
    const uint32_t ids[] = {4, 0, 2};
    int32_t want[3], got[3];
    Scalar().dot_u1_rows(planes.data(), n, codes.data(), stride, ids, 3, want);
    set_->dot_u1_rows(planes.data(), n, codes.data(), stride, ids, 3, got);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(got[i], want[i]) << n;
  }
}

TEST_P(EachInstructionSet, AgreesWithScalarOnRowsOfFloats) {
  const size_t n = 100, rows = 7;
  const auto q = Floats(n), data = Floats(n * rows);
  std::vector<uint16_t> half(n * rows);
  Scalar().f32_to_f16(data.data(), half.data(), half.size());
  const uint32_t ids[] = {6, 0, 3, 3, 1};
  float want[5], got[5];
  Scalar().dot_f32_rows(q.data(), n, reinterpret_cast<const uint8_t*>(data.data()), n * 4, ids, 5, want);
  set_->dot_f32_rows(q.data(), n, reinterpret_cast<const uint8_t*>(data.data()), n * 4, ids, 5, got);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(got[i], want[i], 1e-4);
  Scalar().dot_f16_rows(q.data(), n, reinterpret_cast<const uint8_t*>(half.data()), n * 2, ids, 5, want);
  set_->dot_f16_rows(q.data(), n, reinterpret_cast<const uint8_t*>(half.data()), n * 2, ids, 5, got);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(got[i], want[i], 1e-4);
}

TEST_P(EachInstructionSet, EqualsScalarOnHalfPrecisionConversion) {
  std::vector<float> values = Floats(1000);
  for (float scale : {1e-9f, 6e-8f, 3e-6f, 6.1e-5f, 1.0f, 60000.0f, 1e6f}) values.push_back(scale);
  for (float v : {0.0f, -0.0f, 65504.0f, 65519.9f, 65520.0f, 2.98e-8f, std::numeric_limits<float>::infinity()}) {
    values.push_back(v);
  }
  std::vector<uint16_t> want(values.size()), got(values.size());
  Scalar().f32_to_f16(values.data(), want.data(), values.size());
  set_->f32_to_f16(values.data(), got.data(), values.size());
  EXPECT_EQ(got, want);

  std::vector<uint16_t> halves;
  for (uint32_t h = 0; h < 65536; ++h) {
    if ((h & 0x7c00) != 0x7c00 || (h & 1023) == 0) halves.push_back(static_cast<uint16_t>(h));
  }
  std::vector<float> wide(halves.size()), wide_scalar(halves.size());
  set_->f16_to_f32(halves.data(), wide.data(), halves.size());
  Scalar().f16_to_f32(halves.data(), wide_scalar.data(), halves.size());
  EXPECT_EQ(std::memcmp(wide.data(), wide_scalar.data(), wide.size() * 4), 0);
  std::vector<uint16_t> back(halves.size());
  set_->f32_to_f16(wide.data(), back.data(), wide.size());
  EXPECT_EQ(back, halves);
}

TEST_P(EachInstructionSet, EqualsScalarOnBrainFloatConversion) {
  const auto values = Floats(1001);
  std::vector<uint16_t> want(values.size()), got(values.size());
  Scalar().f32_to_bf16(values.data(), want.data(), values.size());
  set_->f32_to_bf16(values.data(), got.data(), values.size());
  EXPECT_EQ(got, want);
  std::vector<float> a(values.size()), b(values.size());
  Scalar().bf16_to_f32(want.data(), a.data(), want.size());
  set_->bf16_to_f32(want.data(), b.data(), want.size());
  EXPECT_EQ(a, b);
}

TEST_P(EachInstructionSet, EqualsScalarOnScalingAndRounding) {
  for (size_t n : {1, 7, 16, 17, 40, 100}) {
    const auto x = Floats(n), scales = Floats(50);
    EXPECT_EQ(set_->max_abs_f32(x.data(), n), Scalar().max_abs_f32(x.data(), n));
    auto product = x, product_scalar = x;
    set_->multiply_f32(product.data(), x.data(), n);
    Scalar().multiply_f32(product_scalar.data(), x.data(), n);
    EXPECT_EQ(product, product_scalar);
    std::vector<int8_t> rounded(n), rounded_scalar(n);
    const float factor = 127.0f / Scalar().max_abs_f32(x.data(), n);
    EXPECT_EQ(set_->round_s8(x.data(), factor, rounded.data(), n),
              Scalar().round_s8(x.data(), factor, rounded_scalar.data(), n));
    EXPECT_EQ(rounded, rounded_scalar);
    std::vector<int32_t> sums(n);
    std::vector<uint32_t> ids(n);
    for (size_t i = 0; i < n; ++i) {
      sums[i] = static_cast<int32_t>(random_() % 100000) - 50000;
      ids[i] = random_() % 50;
    }
    std::vector<float> out(n + 1, 5), out_scalar(n + 1, 5);
    set_->scale_rows(sums.data(), scales.data(), ids.data(), n, 1.5f, 0.25f, 33.0f, out.data());
    Scalar().scale_rows(sums.data(), scales.data(), ids.data(), n, 1.5f, 0.25f, 33.0f, out_scalar.data());
    for (size_t i = 0; i <= n; ++i) EXPECT_NEAR(out[i], out_scalar[i], 1e-6f * (1 + std::fabs(out_scalar[i])));
    set_->scale_rows(sums.data(), nullptr, ids.data(), n, 1.5f, 0.25f, 33.0f, out.data());
    Scalar().scale_rows(sums.data(), nullptr, ids.data(), n, 1.5f, 0.25f, 33.0f, out_scalar.data());
    for (size_t i = 0; i <= n; ++i) EXPECT_NEAR(out[i], out_scalar[i], 1e-6f * (1 + std::fabs(out_scalar[i])));
  }
}

TEST_P(EachInstructionSet, EqualsScalarOnExpandingCodes) {
  for (size_t n : {64, 128, 192, 384}) {
    const auto codes = Bytes(n);
    std::vector<int8_t> want(n), got(n);
    EXPECT_EQ(set_->expand_u8(codes.data(), got.data(), n), Scalar().expand_u8(codes.data(), want.data(), n));
    EXPECT_EQ(got, want);
    EXPECT_EQ(set_->expand_u4(codes.data(), got.data(), n), Scalar().expand_u4(codes.data(), want.data(), n));
    EXPECT_EQ(got, want);
  }
}

TEST_P(EachInstructionSet, HadamardTwiceIsTheIdentityTimesN) {
  for (size_t n : {1, 2, 4, 8, 16, 32, 256, 1024}) {
    const auto x = Floats(n);
    auto y = x;
    set_->hadamard_f32(y.data(), n);
    auto scalar = x;
    Scalar().hadamard_f32(scalar.data(), n);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(y[i], scalar[i], 1e-3) << n;
    set_->hadamard_f32(y.data(), n);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(y[i] / static_cast<float>(n), x[i], 1e-4) << n;
  }
}

std::string NameOf(const testing::TestParamInfo<InstructionSet>& info) {
  constexpr const char* kNames[] = {"Scalar", "Avx2", "Avx512", "Avx512Vnni", "Avx512Full"};
  return kNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(All, EachInstructionSet, testing::ValuesIn(kInstructionSets), NameOf);

}  // namespace
}  // namespace alcove::simd
