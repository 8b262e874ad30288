#include "services/inference/engine/cpu/bf16_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "services/inference/engine/ops.h"

namespace alcove::inference {
namespace {

std::vector<float> RandomFloats(size_t count, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

float FromBf16(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

constexpr uint16_t kNaN = 0x7fc0;

// A matrix in tiles whose unused rows hold NaN.
AlignedBuffer<uint16_t> InTiles(const std::vector<float>& values, size_t rows, size_t columns) {
  AlignedBuffer<uint16_t> tiles((rows + 32) * RoundUpToBf16Block(columns));
  std::fill(tiles.begin(), tiles.end(), kNaN);
  PortableBf16Kernels().convert(values.data(), rows, columns, tiles.data());
  return tiles;
}

std::vector<float> FromTiles(const AlignedBuffer<uint16_t>& tiles, size_t rows, size_t columns) {
  const size_t padded = RoundUpToBf16Block(columns);
  std::vector<float> values;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < padded; ++c) {
      const float value = FromBf16(tiles[Bf16TileOffset(r, c / 32 * 32, padded) + c % 32]);
      if (c < columns) {
        values.push_back(value);
      } else {
        EXPECT_EQ(value, 0.0f) << "past the columns of row " << r;
      }
    }
  }
  return values;
}

// `relative`: what one rounding to bf16 may move.
void ExpectClose(const std::vector<float>& got, const std::vector<float>& want, float absolute, float relative,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], absolute + relative * std::fabs(want[i])) << what << " at " << i;
  }
}

// Every set of bf16 kernels this machine can run, compared with the portable twin; the twin itself is compared with the
// reference operations.
class Bf16KernelsTest : public ::testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    const Bf16KernelList list = SupportedBf16Kernels();
    if (GetParam() > list.count) GTEST_SKIP() << "this processor has fewer instruction sets";
    kernels_ = GetParam() == list.count ? &PortableBf16Kernels() : list.entries[GetParam()];
  }

  struct Outputs {
    std::vector<float> tiles, rows, f32;
  };
  // The layer's packed weights come from the backend, as they do in earnest.
  static Outputs RunLinear(const Bf16Kernels& kernels, const std::vector<float>& in, size_t rows, size_t depth,
                           const std::vector<float>& weight, const std::vector<float>& bias, Epilogue epilogue) {
    const size_t columns = bias.size(), padded = RoundUpToBf16Block(columns), padded_depth = RoundUpToBf16Block(depth);
    AlignedBuffer<uint16_t> packed(padded * padded_depth);
    AlignedBuffer<float> padded_bias(padded);
    std::copy(bias.begin(), bias.end(), padded_bias.begin());
    const AlignedBuffer<uint16_t> converted = InTiles(weight, columns, depth);
    for (size_t c = 0; c < columns; ++c) {
      for (size_t k = 0; k < padded_depth; ++k) {
        packed[c / 32 * 32 * padded_depth + k / 32 * 1024 + c / 16 % 2 * 512 + k % 32 / 2 * 32 + c % 16 * 2 + k % 2] =
            converted[Bf16TileOffset(c, k / 32 * 32, padded_depth) + k % 32];
      }
    }
    const AlignedBuffer<uint16_t> input = InTiles(in, rows, depth);
    AlignedBuffer<uint16_t> tiles((rows + 32) * padded), by_rows(rows * padded);
    Outputs out;
    out.f32.assign(rows * columns, NAN);
    Bf16LinearArgs args{};
    args.in = input.data();
    args.tiles = packed.data();
    args.bias = padded_bias.data();
    args.rows = rows;
    args.depth = depth;
    args.columns = columns;
    args.epilogue = epilogue;
    args.out_f32 = out.f32.data();
    kernels.linear(args);
    args.out_f32 = nullptr;
    args.out_rows = by_rows.data();
    kernels.linear(args);
    args.out_rows = nullptr;
    args.out_tiles = tiles.data();
    kernels.linear(args);
    out.tiles = FromTiles(tiles, rows, columns);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < columns; ++c) out.rows.push_back(FromBf16(by_rows[r * padded + c]));
    }
    return out;
  }

  const Bf16Kernels* kernels_ = nullptr;
  Workspace workspace_;
  WeightArena arena_;
};

TEST_P(Bf16KernelsTest, LinearEqualsTheTwinForAwkwardShapes) {
  struct Shape {
    size_t rows, depth, columns;
  };
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{3, 7, 5}, Shape{8, 36, 108}, Shape{16, 64, 96}, Shape{17, 384, 48}, Shape{32, 32, 32},
        Shape{33, 100, 65}, Shape{70, 385, 97}, Shape{15, 1536, 33}, Shape{50, 1536, 33}}) {
    const auto in = RandomFloats(shape.rows * shape.depth, 1);
    const auto weight = RandomFloats(shape.columns * shape.depth, 2, -0.1f, 0.1f);
    const auto bias = RandomFloats(shape.columns, 3);
    for (Epilogue epilogue : {Epilogue::kNone, Epilogue::kGelu, Epilogue::kGeluTanh, Epilogue::kRelu}) {
      const Outputs got = RunLinear(*kernels_, in, shape.rows, shape.depth, weight, bias, epilogue);
      const Outputs want = RunLinear(PortableBf16Kernels(), in, shape.rows, shape.depth, weight, bias, epilogue);
      const std::string what = std::to_string(shape.rows) + "x" + std::to_string(shape.depth) + "x" +
                               std::to_string(shape.columns) + " epilogue " +
                               std::to_string(static_cast<int>(epilogue));
      ExpectClose(got.f32, want.f32, 4e-5f, 0, what + " f32");
      ExpectClose(got.rows, want.f32, 4e-5f, 1.0f / 256, what + " rows");
      ExpectClose(got.tiles, want.f32, 4e-5f, 1.0f / 256, what + " tiles");
    }
  }
}

TEST_P(Bf16KernelsTest, LinearWithoutRoundingErrorsEqualsTheReferenceExactly) {
  // Small integers: every product and sum is exact whatever its order.
  std::mt19937 random(4);
  const size_t rows = 37, depth = 70, columns = 45;
  const auto integers = [&](size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 15) - 7);
    return values;
  };
  const auto in = integers(rows * depth), weight = integers(columns * depth), bias = integers(columns);
  const auto ops = MakeReferenceOps();
  std::vector<float> want(rows * columns);
  ops->Linear(*ops->Pack(weight, bias, depth, columns, arena_), in.data(), rows, Epilogue::kNone, workspace_,
              want.data());
  EXPECT_EQ(RunLinear(*kernels_, in, rows, depth, weight, bias, Epilogue::kNone).f32, want);
}

TEST_P(Bf16KernelsTest, ActivationsStayCloseToTheReferenceFarFromZero) {
  std::vector<float> in;
  for (float x = -12.0f; x <= 12.0f; x += 0.00390625f)
    in.push_back(FromBf16(static_cast<uint16_t>([&] {
      uint32_t bits;
      std::memcpy(&bits, &x, 4);
      return bits >> 16;
    }())));
  in.insert(in.end(), {-1000.0f, 1000.0f, -1.0e30f, 1.0e30f, 0.0f, -0.0f});
  const auto ops = MakeReferenceOps();
  for (Epilogue epilogue : {Epilogue::kGelu, Epilogue::kGeluTanh, Epilogue::kRelu}) {
    const auto got = RunLinear(*kernels_, in, in.size(), 1, {1.0f}, {0.0f}, epilogue).f32;
    std::vector<float> want(in.size());
    ops->Linear(*ops->Pack({1.0f}, {0.0f}, 1, 1, arena_), in.data(), in.size(), epilogue, workspace_, want.data());
    for (size_t i = 0; i < in.size(); ++i) {
      // Sums begin as bf16, so that numbers like 1e30 are only as exact as that.
      ASSERT_NEAR(got[i], want[i], 4e-5f + 4e-3f * std::fabs(want[i]) + 1e-7f * std::fabs(in[i])) << in[i];
    }
  }
}

TEST_P(Bf16KernelsTest, ARowOfALinearLayerIsBitIdenticalInEveryBatch) {
  const size_t depth = 160, columns = 115, rows = 100;
  const auto in = RandomFloats(rows * depth, 4), weight = RandomFloats(columns * depth, 5),
             bias = RandomFloats(columns, 6);
  const auto all = RunLinear(*kernels_, in, rows, depth, weight, bias, Epilogue::kGelu).f32;
  for (size_t first : {0u, 3u, 31u, 60u}) {
    for (size_t count : {1u, 2u, 16u, 17u, 33u, 40u}) {
      const std::vector<float> part(in.begin() + first * depth, in.begin() + (first + count) * depth);
      const auto some = RunLinear(*kernels_, part, count, depth, weight, bias, Epilogue::kGelu).f32;
      EXPECT_EQ(std::memcmp(some.data(), all.data() + first * columns, some.size() * sizeof(float)), 0)
          << first << "+" << count;
    }
  }
}

// out[S, H·D] of a sequence that lies at `first_row` of a larger batch whose other rows hold NaN.
std::vector<float> RunAttention(const Bf16Kernels& kernels, const std::vector<float>& qkv, const AttentionShape& shape,
                                size_t first_row) {
  const size_t hidden = shape.heads * shape.head_dim, stride = RoundUpToBf16Block(3 * hidden);
  AlignedBuffer<uint16_t> rows((shape.tokens + 32) * stride), out((first_row + shape.tokens + 32) * hidden);
  std::fill(rows.begin(), rows.end(), kNaN);
  const AlignedBuffer<uint16_t> tiles = InTiles(qkv, shape.tokens, 3 * hidden);
  for (size_t t = 0; t < shape.tokens; ++t) {
    for (size_t c = 0; c < stride; c += 32) {
      std::copy_n(tiles.data() + Bf16TileOffset(t, c, stride), 32, rows.data() + t * stride + c);
    }
  }
  AlignedBuffer<uint8_t> scratch(Bf16AttentionScratchBytes(shape));
  std::fill(scratch.begin(), scratch.end(), uint8_t{0xff});
  std::fill(out.begin(), out.end(), uint16_t{0x4242});
  kernels.attention(rows.data(), shape, scratch.data(), first_row, out.data());
  std::vector<float> values;
  for (size_t r = 0; r < first_row + shape.tokens + 16; ++r) {
    for (size_t c = 0; c < hidden; ++c) {
      const uint16_t value = out[Bf16TileOffset(r, c / 32 * 32, hidden) + c % 32];
      if (r >= first_row && r < first_row + shape.tokens) {
        values.push_back(FromBf16(value));
      } else {
        EXPECT_EQ(value, 0x4242) << "row " << r << " is not the sequence's";
      }
    }
  }
  return values;
}

TEST_P(Bf16KernelsTest, AttentionEqualsTheReference) {
  const auto ops = MakeReferenceOps();
  for (size_t head_dim : {32u, 64u, 96u}) {
    for (size_t tokens : {1u, 2u, 15u, 16u, 17u, 32u, 33u, 47u, 64u, 65u, 130u}) {
      for (size_t heads : {1u, 3u, 18u}) {
        const size_t hidden = heads * head_dim;
        auto qkv = RandomFloats(tokens * 3 * hidden, 7, -2.0f, 2.0f);
        for (float& value : qkv) value = std::round(value * 64) / 64;  // exact in bf16
        const std::vector<int32_t> offsets = {0, static_cast<int32_t>(tokens)};
        std::vector<float> want(tokens * hidden);
        ops->Attention(qkv.data(), offsets, heads, head_dim, workspace_, want.data());
        const auto got = RunAttention(*kernels_, qkv, {tokens, heads, head_dim}, tokens % 7);
        ExpectClose(got, want, 6e-3f, 1.0f / 256,
                    std::to_string(head_dim) + " dims, " + std::to_string(tokens) + " tokens, " +
                        std::to_string(heads) + " heads");
      }
    }
  }
}

TEST_P(Bf16KernelsTest, AttentionSurvivesHugeScores) {
  const AttentionShape shape{21, 2, 32};
  const auto qkv = RandomFloats(shape.tokens * 3 * 64, 8, -100.0f, 100.0f);
  for (float value : RunAttention(*kernels_, qkv, shape, 0)) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(Bf16KernelsTest, LayerNormEqualsTheReferenceAndItsCopyIsTheRoundedResult) {
  const auto ops = MakeReferenceOps();
  for (size_t columns : {1u, 5u, 16u, 36u, 48u, 100u, 384u}) {
    const size_t rows = 19;
    const auto residual = RandomFloats(rows * columns, 9), gamma = RandomFloats(columns, 10),
               beta = RandomFloats(columns, 11);
    for (const float* second : {static_cast<const float*>(nullptr), residual.data()}) {
      auto got = RandomFloats(rows * columns, 12, -3.0f, 5.0f);
      auto want = got;
      AlignedBuffer<uint16_t> copy((rows + 32) * RoundUpToBf16Block(columns));
      kernels_->add_layer_norm(got.data(), second, gamma.data(), beta.data(), 1e-5f, rows, columns, copy.data());
      ops->AddLayerNorm(want.data(), second, gamma, beta, 1e-5f, rows);
      ExpectClose(got, want, 1e-5f, 1e-5f, std::to_string(columns) + " columns");
      ExpectClose(FromTiles(copy, rows, columns), FromTiles(InTiles(got, rows, columns), rows, columns), 0, 0,
                  std::to_string(columns) + " columns, the copy");
      const auto before = got;
      kernels_->add_layer_norm(got.data(), second, gamma.data(), beta.data(), 1e-5f, rows, columns, nullptr);
    }
  }
}

TEST_P(Bf16KernelsTest, ConversionRoundsToNearestEven) {
  std::vector<float> in = RandomFloats(3 * 77, 13, -1e5f, 1e5f);
  const uint32_t ties[] = {0x3f808000u, 0x3f818000u, 0xbf807fffu, 0xbf808001u, 0x00000000u, 0x80000000u, 0x7f800000u};
  std::memcpy(in.data(), ties, sizeof(ties));
  AlignedBuffer<uint16_t> got(64 * 96);
  kernels_->convert(in.data(), 3, 77, got.data());
  EXPECT_EQ(FromTiles(got, 3, 77), FromTiles(InTiles(in, 3, 77), 3, 77));
  EXPECT_EQ(got[0], 0x3f80);
  EXPECT_EQ(got[1], 0x3f82);
  EXPECT_EQ(got[2], 0xbf80);
  EXPECT_EQ(got[3], 0xbf81);
}

INSTANTIATE_TEST_SUITE_P(Sets, Bf16KernelsTest, ::testing::Range<size_t>(0, 3),
                         [](const ::testing::TestParamInfo<size_t>& info) {
                           const Bf16KernelList list = SupportedBf16Kernels();
                           std::string name = info.param < list.count    ? list.entries[info.param]->name
                                              : info.param == list.count ? PortableBf16Kernels().name
                                                                         : "none" + std::to_string(info.param);
                           std::erase(name, '-');
                           return name;
                         });

TEST(PrecisionTest, ABackendIsChosenByName) {
  EXPECT_EQ((*MakeBestCpuOps("f32"))->precision(), "f32");
  const bool has_bf16 = SupportedBf16Kernels().count > 0;
  EXPECT_EQ((*MakeBestCpuOps("auto"))->precision(), has_bf16 ? "bf16" : "f32");
  if (has_bf16) {
    EXPECT_EQ((*MakeBestCpuOps("bf16"))->precision(), "bf16");
  } else {
    EXPECT_EQ(MakeBestCpuOps("bf16").status().code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(MakeBestCpuOps("f64").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace alcove::inference
